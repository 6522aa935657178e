/* SPDX-License-Identifier: Apache-2.0 */
/* URIs of KEKs and Encryption Key IDs. */
#include "fs/cmd/key_uri.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/provider.h"

void key_uri_keyring_id(const struct uuid *keyring, const char *id, char key_id[static KEY_ID_SIZE])
{
	char uuid[UUID_TEXT_SIZE];

	uuid_format(keyring, uuid);
	snprintf(key_id, KEY_ID_SIZE, "keyring:%s#%s", uuid, id);
}

char *key_uri_absolute_path(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	char *directory = slash == NULL   ? strdup(".")
			  : slash == path ? strdup("/")
					  : strndup(path, (size_t)(slash - path));
	char *real = directory == NULL ? NULL : realpath(directory, NULL);
	char *absolute = NULL;

	free(directory);
	if (real == NULL)
		return NULL;
	if (asprintf(&absolute, "%s%s%s", real, strcmp(real, "/") == 0 ? "" : "/", name) < 0)
		absolute = NULL;
	free(real);
	return absolute;
}

/*
 * keyring:UUID#ID is an id, keyring:///PATH#ID a URI.  The id of a key of PKCS#11 is a URI as well; where both are taken it is
 * looked up as an id first, since its [key] section may spell it otherwise.
 */
bool key_uri_is_uri(const char *text)
{
	if (strncmp(text, "pkcs11:", strlen("pkcs11:")) == 0)
		return strncmp(text, "pkcs11:serial=", strlen("pkcs11:serial=")) != 0;
	return strstr(text, "://") != NULL && kms_provider_for_uri(text) != NULL;
}
