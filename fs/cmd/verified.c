/* SPDX-License-Identifier: Apache-2.0 */
/* STATE/volumes/VOLUME-UUID/verified: a line for each directory or large file, half a SHA-256 of snapshot and path. */
#include "fs/cmd/verified.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "kms/crypto/hash.h"
#include "meta/encoding.h"

#define LINE_SIZE 33 /* hex digits and a newline */

struct known {
	char digits[LINE_SIZE]; /* NUL in place of the newline */
	UT_hash_handle hh;
};

struct verified {
	pthread_mutex_t lock; /* guards fd's end; `known` does not change after opening */
	char path[PATH_MAX];
	int fd;
	struct known *known;
};

static int add_known(struct verified *verified, const char digits[static LINE_SIZE])
{
	struct known *known = NULL;

	HASH_FIND_STR(verified->known, digits, known);
	if (known != NULL)
		return 0;
	known = calloc(1, sizeof(*known));
	if (known == NULL)
		return -ENOMEM;
	memcpy(known->digits, digits, LINE_SIZE);
	HASH_ADD_STR(verified->known, digits, known);
	return 0;
}

/* A line that a crash cut short is no line. */
static int load(struct verified *verified)
{
	char line[LINE_SIZE + 1];
	FILE *file = fopen(verified->path, "re");
	int r = 0;

	if (file == NULL)
		return 0;
	while (r == 0 && fgets(line, sizeof(line), file) != NULL) {
		if (strlen(line) != LINE_SIZE || line[LINE_SIZE - 1] != '\n')
			continue;
		line[LINE_SIZE - 1] = '\0';
		r = add_known(verified, line);
	}
	fclose(file);
	return r;
}

static void make_directories(const char *state_dir, const struct uuid *volume,
			     struct verified *verified)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(volume, id);
	/* Each may be there, or not be possible; then the file is not either. */
	(void)!mkdir(state_dir, 0700);
	snprintf(verified->path, sizeof(verified->path), "%s/volumes", state_dir);
	(void)!mkdir(verified->path, 0700);
	snprintf(verified->path, sizeof(verified->path), "%s/volumes/%s", state_dir, id);
	(void)!mkdir(verified->path, 0700);
	snprintf(verified->path, sizeof(verified->path), "%s/volumes/%s/verified", state_dir, id);
}

static void free_all(struct verified *verified)
{
	struct known *known = NULL;
	struct known *next = NULL;

	HASH_ITER (hh, verified->known, known, next) {
		HASH_DEL(verified->known, known);
		free(known);
	}
	if (verified->fd >= 0)
		close(verified->fd);
	pthread_mutex_destroy(&verified->lock);
	free(verified);
}

int verified_open(const char *state_dir, const struct uuid *volume, bool resumes,
		  struct verified **ret_verified)
{
	struct verified *verified = calloc(1, sizeof(*verified));
	int r = 0;

	if (verified == NULL)
		return -ENOMEM;
	pthread_mutex_init(&verified->lock, NULL);
	make_directories(state_dir, volume, verified);
	if (resumes)
		r = load(verified);
	verified->fd = open(verified->path,
			    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW |
				    (resumes ? 0 : O_TRUNC),
			    0600);
	if (r < 0) {
		free_all(verified);
		return r;
	}
	*ret_verified = verified;
	return 0;
}

void verified_close(struct verified *verified, bool is_whole)
{
	if (verified == NULL)
		return;
	if (is_whole)
		(void)!unlink(verified->path);
	free_all(verified);
}

static bool make_digits(const struct uuid *snapshot, const char *path,
			char digits[static LINE_SIZE])
{
	CLEANUP(hash_cleanup) struct hash *hash = NULL;
	uint8_t digest[SHA256_SIZE];

	if (hash_new(&hash) < 0 ||
	    hash_update(hash, (struct bytes){ (const uint8_t *)snapshot, sizeof(*snapshot) }) < 0 ||
	    hash_update(hash, bytes_from_text(path)) < 0 || hash_final(hash, digest) < 0)
		return false;
	for (size_t i = 0; i < (LINE_SIZE - 1) / 2; i++)
		snprintf(digits + 2 * i, 3, "%02x", digest[i]);
	return true;
}

bool verified_has(struct verified *verified, const struct uuid *snapshot, const char *path)
{
	struct known *known = NULL;
	char digits[LINE_SIZE];

	if (verified->known == NULL || !make_digits(snapshot, path, digits))
		return false;
	HASH_FIND_STR(verified->known, digits, known);
	return known != NULL;
}

void verified_add(struct verified *verified, const struct uuid *snapshot, const char *path)
{
	char digits[LINE_SIZE + 1];

	if (verified->fd < 0 || !make_digits(snapshot, path, digits))
		return;
	strcpy(digits + LINE_SIZE - 1, "\n");
	pthread_mutex_lock(&verified->lock);
	/* What is not kept is verified again. */
	(void)!write(verified->fd, digits, LINE_SIZE);
	pthread_mutex_unlock(&verified->lock);
}
