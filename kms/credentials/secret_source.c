/* SPDX-License-Identifier: Apache-2.0 */
/* Where a secret comes from. */
#include "kms/credentials/secret_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kms/credentials/command.h"

static void close_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* Everything that FD yields, less one trailing newline. */
static int read_secret(int fd, struct secret **ret_secret)
{
	CLEANUP(secret_free_cleanup) uint8_t *buffer = secret_alloc(SECRET_SOURCE_MAX + 1);
	size_t size = 0;

	if (!buffer)
		return -ENOMEM;
	while (size <= SECRET_SOURCE_MAX) {
		ssize_t n = read(fd, buffer + size, SECRET_SOURCE_MAX + 1 - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
	}
	if (size > SECRET_SOURCE_MAX)
		return -EFBIG;
	if (size && buffer[size - 1] == '\n')
		size--;
	if (!size)
		return -ENODATA;
	return secret_copy((struct bytes){ buffer, size }, ret_secret);
}

int secret_source_file(const char *path, struct secret **ret_secret, struct kms_error *reterr)
{
	CLEANUP(close_cleanup) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat stat;
	int r;

	if (fd < 0 || fstat(fd, &stat) < 0)
		return kms_fail(reterr, -errno, KEY_STATE_UNKNOWN, "%s: %s", path, strerror(errno));
	if (!S_ISREG(stat.st_mode))
		return kms_fail(reterr, -EPERM, KEY_STATE_UNKNOWN, "%s: not a regular file", path);
	if ((stat.st_mode & 077) || (stat.st_uid != 0 && stat.st_uid != geteuid())) {
		r = kms_fail(
			reterr, -EPERM, KEY_STATE_UNKNOWN,
			"%s: a secret must belong to root or this user and be closed to others",
			path);
		kms_advise(reterr, "chmod 600 %s", path);
		return r;
	}
	r = read_secret(fd, ret_secret);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: %s", path, strerror(-r));
	return 0;
}

int secret_source_environment(const char *name, struct secret **ret_secret)
{
	const char *value = getenv(name);

	if (!value || !*value)
		return -ENOENT;
	return secret_copy(bytes_from_text(value), ret_secret);
}

static int from_credential(const char *name, struct secret **ret_secret, struct kms_error *reterr)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	char path[4096];

	if (!directory)
		return kms_fail(reterr, -ENODATA, KEY_STATE_UNKNOWN,
				"credential %s: CREDENTIALS_DIRECTORY is not set", name);
	if (strchr(name, '/') ||
	    snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"credential %s: not a file name", name);
	return secret_source_file(path, ret_secret, reterr);
}

static int from_command(const char *command, struct secret **ret_secret, struct kms_error *reterr)
{
	struct command_output output = { 0 };
	int r;

	r = command_run(command, COMMAND_TIMEOUT_MS, &output, reterr);
	if (r < 0)
		return r;
	r = secret_copy(command_first_line(&output), ret_secret);
	command_output_free(&output);
	return r;
}

static int from_environment(const char *name, struct secret **ret_secret, struct kms_error *reterr)
{
	int r = secret_source_environment(name, ret_secret);

	if (r == -ENOENT)
		return kms_fail(reterr, -ENODATA, KEY_STATE_UNKNOWN,
				"environment variable %s is not set", name);
	return r;
}

int secret_source_read(const struct kms_config *config, const char *name,
		       struct secret **ret_secret, struct kms_error *reterr)
{
	static const struct {
		const char *suffix;
		int (*read)(const char *value, struct secret **ret_secret,
			    struct kms_error *reterr);
	} sources[] = {
		{ "_file", secret_source_file },
		{ "_credential", from_credential },
		{ "_command", from_command },
		{ "_env", from_environment },
	};
	const char *value = NULL;
	size_t chosen = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		char key[96];
		const char *found;

		(void)snprintf(key, sizeof(key), "%s%s", name, sources[i].suffix);
		found = kms_config_get(config, key);
		if (!found)
			continue;
		if (value)
			return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
					"[key \"%s\"]: %s%s and %s%s exclude each other",
					config->section ? config->section : "", name,
					sources[chosen].suffix, name, sources[i].suffix);
		value = found;
		chosen = i;
	}
	return value ? sources[chosen].read(value, ret_secret, reterr) : -ENOENT;
}
