/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Left-over key records and markers.
 *
 * What counts is what need_scan_deks() finds on storage; the mount never removes any, so that they are removed here, under the
 * lock of the volume, where nothing new can come to need them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/need_scan.h"
#include "fs/store/repair.h"
#include "fs/store/snapshot_internal.h"

struct sweeping {
	struct store *store;
	const struct need_dek *needed; /* sorted by data key */
	size_t count;
	bool is_dry;
	struct repair_left_overs counts;
};

/* The first pair of a data key, or the end. */
static size_t first_of(const struct sweeping *sweeping, const struct uuid *dek)
{
	size_t low = 0;
	size_t high = sweeping->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (uuid_compare(&sweeping->needed[middle].dek, dek) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_needed(const struct sweeping *sweeping, const struct uuid *dek)
{
	const size_t at = first_of(sweeping, dek);

	return at < sweeping->count && uuid_equal(&sweeping->needed[at].dek, dek);
}

static bool is_needed_by(const struct sweeping *sweeping, const struct uuid *dek,
			 const struct uuid *snapshot)
{
	for (size_t at = first_of(sweeping, dek);
	     at < sweeping->count && uuid_equal(&sweeping->needed[at].dek, dek); at++) {
		if (uuid_equal(&sweeping->needed[at].snapshot, snapshot))
			return true;
	}
	return false;
}

static int remove_marker(struct sweeping *sweeping, int fd, const char *name)
{
	sweeping->counts.markers++;
	return sweeping->is_dry || unlinkat(fd, name, 0) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Those of a data key that is needed by somebody, or (ALL) all of them. */
static int sweep_markers(struct sweeping *sweeping, int key_fd, const struct uuid *dek, bool all)
{
	char **names = NULL;
	size_t count = 0;
	const int fd = open_beneath(key_fd, "needed-by", O_RDONLY | O_DIRECTORY, 0);
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = directory_names(fd, ".", NULL, &names, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct uuid snapshot;

		if (all || (uuid_parse(names[i], &snapshot) == 0 &&
			    !is_needed_by(sweeping, dek, &snapshot)))
			r = remove_marker(sweeping, fd, names[i]);
	}
	names_free(names, count);
	close(fd);
	return r;
}

static int remove_generations(int key_fd)
{
	char **names = NULL;
	size_t count = 0;
	int r = directory_names(key_fd, ".", NULL, &names, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		const int flags = strcmp(names[i], "needed-by") == 0 ? AT_REMOVEDIR : 0;

		if (unlinkat(key_fd, names[i], flags) < 0 && errno != ENOENT)
			r = -errno;
	}
	names_free(names, count);
	return r;
}

static int remove_record(struct sweeping *sweeping, int key_fd, const char *name,
			 const struct uuid *dek)
{
	struct store *store = sweeping->store;
	int r;

	sweeping->counts.records++;
	if (sweeping->is_dry)
		return 0;
	r = remove_generations(key_fd);
	if (r == 0 && unlinkat(store->control_fd, name, AT_REMOVEDIR) < 0)
		r = -errno;
	/* A pin without a record is harmless. */
	if (r == 0 && trust_forget_dek(store->trust, &store->volume.volume, dek) < 0)
		return 0;
	return r;
}

static int sweep_key(void *arg, const struct uuid *dek)
{
	struct sweeping *sweeping = arg;
	const bool is_left_over = !is_needed(sweeping, dek);
	char name[CONTROL_NAME_SIZE];
	int fd;
	int r;

	key_directory(dek, name);
	fd = open_beneath(sweeping->store->control_fd, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = sweep_markers(sweeping, fd, dek, is_left_over);
	if (r == 0 && is_left_over)
		r = remove_record(sweeping, fd, name, dek);
	close(fd);
	return r;
}

int repair_keys(struct store *store, bool is_dry, struct repair_left_overs *ret_counts,
		struct store_error *reterr)
{
	struct sweeping sweeping = { .store = store, .is_dry = is_dry };
	struct need_dek *needed = NULL;
	int r = need_scan_deks(store->root_fd, store->trust, &needed, &sweeping.count, reterr);

	if (r < 0)
		return r;
	sweeping.needed = needed;
	r = dek_each(store, sweep_key, &sweeping);
	free(needed);
	dek_index_forget(store);
	if (!is_dry && sweeping.counts.markers > 0)
		snapshots_refresh_index(store);
	if (r < 0)
		return store_fail(reterr, r, EXIT_STORAGE, "key records: %s", strerror(-r));
	*ret_counts = sweeping.counts;
	return 0;
}
