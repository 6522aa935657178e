/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a volume is still as it was, without walking it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/control.h"
#include "fs/store/need_scan.h"
#include "fs/store/store_internal.h"
#include "kms/crypto/hash.h"
#include "meta/encoding.h"

static int add_text(struct hash *hash, const char *text)
{
	return hash_update(hash, (struct bytes){ (const uint8_t *)text, strlen(text) + 1 });
}

/* What changes when an entry appears or disappears, and when a file is written again. */
static int add_times(struct hash *hash, int parent_fd, const char *name)
{
	char text[NAME_MAX + 192];
	struct stat stat;

	if (fstatat(parent_fd, name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? add_text(hash, "none") : -errno;
	snprintf(text, sizeof(text), "%s %ju %jo %jd.%09ld %jd.%09ld", name, (uintmax_t)stat.st_ino,
		 (uintmax_t)(stat.st_mode & S_IFMT), (intmax_t)stat.st_mtim.tv_sec,
		 stat.st_mtim.tv_nsec, (intmax_t)stat.st_ctim.tv_sec, stat.st_ctim.tv_nsec);
	return add_text(hash, text);
}

static bool is_user_name(const char *name)
{
	return strncmp(name, CONTROL_DIRECTORY, strlen(CONTROL_DIRECTORY)) != 0;
}

/* Snapshot-level directories, those above them, and what lies beside them. */
static int add_level(struct hash *hash, int fd, unsigned levels)
{
	char **names = NULL;
	size_t count = 0;
	int r = directory_names(fd, ".", is_user_name, &names, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		int child;

		r = add_times(hash, fd, names[i]);
		if (r < 0 || levels <= 1)
			continue;
		child = open_beneath(fd, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		if (child < 0)
			continue;
		r = add_level(hash, child, levels - 1);
		close(child);
	}
	names_free(names, count);
	return r;
}

/* The directories of a data key change with its generations and its markers. */
static int add_keys(struct hash *hash, int control_fd)
{
	char **names = NULL;
	size_t count = 0;
	int r = directory_names(control_fd, "keys", NULL, &names, &count);

	if (r == -ENOENT)
		return 0;
	for (size_t i = 0; r == 0 && i < count; i++) {
		char path[CONTROL_NAME_SIZE + NAME_MAX];

		snprintf(path, sizeof(path), "keys/%s", names[i]);
		r = add_times(hash, control_fd, path);
		if (r < 0)
			break;
		snprintf(path, sizeof(path), "keys/%s/needed-by", names[i]);
		r = add_times(hash, control_fd, path);
	}
	names_free(names, count);
	return r;
}

/* A writable mount writes its lease into `lock`, and marks into `writing`. */
static int add_control(struct hash *hash, int control_fd)
{
	static const char *const names[] = { "volume", "keys",    "seals",
					     "lock",   "writing", "quarantine" };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++)
		r = add_times(hash, control_fd, names[i]);
	return r < 0 ? r : add_keys(hash, control_fd);
}

static int make(struct hash *hash, int backing_fd, int control_fd, unsigned depth,
		char text[static NEED_FINGERPRINT_SIZE])
{
	uint8_t digest[SHA256_SIZE];
	int r = add_control(hash, control_fd);

	if (r == 0)
		r = add_level(hash, backing_fd, depth);
	if (r == 0)
		r = hash_final(hash, digest);
	if (r == 0)
		hex_encode((struct bytes){ digest, sizeof(digest) }, text);
	return r;
}

int need_fingerprint(int backing_fd, struct trust *trust, struct need_fingerprint *ret_fingerprint,
		     struct store_error *reterr)
{
	CLEANUP(hash_cleanup) struct hash *hash = NULL;
	struct store_description description = { 0 };
	struct need_fingerprint fingerprint = { 0 };
	unsigned depth = 0;
	int control_fd = -1;
	int r = store_describe(backing_fd, trust, &description, reterr);

	if (r < 0)
		return r;
	fingerprint.volume = description.record.volume;
	depth = description.record.snapshot_depth;
	volume_record_free(&description.record);
	r = store_open_control(backing_fd, &control_fd, reterr);
	if (r < 0)
		return r;
	r = hash_new(&hash);
	if (r == 0)
		r = make(hash, backing_fd, control_fd, depth, fingerprint.text);
	close(control_fd);
	if (r < 0)
		return store_fail(reterr, r, EXIT_STORAGE, "fingerprint: %s", strerror(-r));
	*ret_fingerprint = fingerprint;
	return 0;
}
