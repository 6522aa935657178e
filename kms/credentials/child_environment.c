/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of commands that are run. */
#include "kms/credentials/child_environment.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "meta/macros.h"

#define HIDDEN_MAX 64

extern char **environ;

/* Those of the vendors, and our own, that hold a secret. */
static const char *const secrets[] = {
	"AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN",
	"AZURE_CLIENT_SECRET",
	"AZURE_CLIENT_CERTIFICATE_PASSWORD",
	"IDENTITY_HEADER",
	"VAULT_TOKEN",
	"BAO_TOKEN",
	"SNAPCRYPT_KEYRING_PASSPHRASE",
};

/* Those that a configuration names (`_env`).  One process has one configuration, so the list only grows. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *hidden[HIDDEN_MAX];
static size_t hidden_count;
static bool is_full;

static bool is_named(const char *variable, const char *name)
{
	const size_t size = strlen(name);

	return strncmp(variable, name, size) == 0 && variable[size] == '=';
}

static bool is_hidden(const char *variable)
{
	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
		if (is_named(variable, secrets[i]))
			return true;
	for (size_t i = 0; i < hidden_count; i++)
		if (is_named(variable, hidden[i]))
			return true;
	return false;
}

void child_environment_hide(const char *name)
{
	char *copy = strdup(name);
	bool is_known = false;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; copy && i < hidden_count && !is_known; i++)
		is_known = !strcmp(hidden[i], copy);
	if (!is_known && (!copy || hidden_count == HIDDEN_MAX))
		is_full = true;
	else if (!is_known)
		hidden[hidden_count++] = TAKE(copy);
	pthread_mutex_unlock(&lock);
	free(copy);
}

char **child_environment(void)
{
	size_t count = 0;
	size_t used = 0;
	char **copy;

	while (environ[count])
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	if (!copy)
		return NULL;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < count; i++)
		if (!is_hidden(environ[i]))
			copy[used++] = environ[i];
	if (is_full) {
		free(copy);
		copy = NULL;
	}
	pthread_mutex_unlock(&lock);
	return copy;
}
