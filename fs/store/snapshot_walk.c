/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshot-level directories: walking them, and finding two with one identity. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/snapshot_internal.h"

struct identity_index {
	struct uuid id;
	unsigned count;
	UT_hash_handle hh;
};

static bool is_reserved(const char *name)
{
	return strncmp(name, CONTROL_DIRECTORY, strlen(CONTROL_DIRECTORY)) == 0;
}

static bool is_not_reserved(const char *name)
{
	return !is_reserved(name);
}

static bool is_left_over(const char *name)
{
	return strncmp(name, NEW_SNAPSHOT_PREFIX, strlen(NEW_SNAPSHOT_PREFIX)) == 0;
}

/* What a walk does: VISIT for each directory at depth, LEVEL (may be NULL) for each directory above. */
struct walk {
	struct store *store;
	snapshot_visit visit;
	void (*level)(struct store *store, int fd, const char *path);
	void *arg;
};

static int walk_level(const struct walk *walk, int fd, const char *path, unsigned depth);

static bool is_directory(int parent_fd, const char *name)
{
	struct stat st;

	return fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int walk_entry(const struct walk *walk, int parent_fd, const char *name, const char *path,
		      unsigned depth)
{
	int fd;
	int r;

	if (!is_directory(parent_fd, name))
		return 0;
	if (depth == walk->store->volume.snapshot_depth)
		return walk->visit ? walk->visit(walk->arg, parent_fd, name, path) : 0;
	fd = open_beneath(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOENT || fd == -EXDEV)
		return 0;
	if (fd < 0)
		return fd;
	r = walk_level(walk, fd, path, depth + 1);
	close(fd);
	return r;
}

static int walk_level(const struct walk *walk, int fd, const char *path, unsigned depth)
{
	char **names = NULL;
	size_t count = 0;
	int r = directory_names(fd, ".", is_not_reserved, &names, &count);

	if (r < 0)
		return r;
	if (walk->level)
		walk->level(walk->store, fd, path);
	for (size_t i = 0; r == 0 && i < count; i++) {
		char child[PATH_MAX];

		if (snprintf(child, sizeof(child), "%s%s%s", path, path[0] != '\0' ? "/" : "",
			     names[i]) < (int)sizeof(child))
			r = walk_entry(walk, fd, names[i], child, depth);
	}
	names_free(names, count);
	return r;
}

int snapshot_walk(struct store *store, snapshot_visit visit, void *arg)
{
	const struct walk walk = { .store = store, .visit = visit, .arg = arg };

	return walk_level(&walk, store->root_fd, "", 1);
}

/* ---- What interrupted work left ---------------------------------------------------------------------------------- */

static void remove_new_snapshots(struct store *store, int fd, const char *path)
{
	char **names = NULL;
	size_t count = 0;

	if (directory_names(fd, ".", is_left_over, &names, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		int child = open_beneath(fd, names[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);

		if (child < 0)
			continue;
		(void)unlinkat(child, IDENTITY_FILE, 0);
		close(child);
		if (unlinkat(fd, names[i], AT_REMOVEDIR) < 0)
			store_report(store, LOG_WARNING, path,
				     "%s, left by an interrupted mkdir, stays: %s", names[i],
				     strerror(errno));
	}
	names_free(names, count);
}

static void empty_tmp(struct store *store)
{
	char **names = NULL;
	size_t count = 0;
	int fd = open_beneath(store->control_fd, "tmp", O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return;
	if (directory_names(fd, ".", NULL, &names, &count) == 0) {
		for (size_t i = 0; i < count; i++)
			(void)unlinkat(fd, names[i], 0);
		names_free(names, count);
	}
	close(fd);
}

void snapshot_remove_left_overs(struct store *store)
{
	const struct walk walk = { .store = store, .level = remove_new_snapshots };

	empty_tmp(store);
	if (walk_level(&walk, store->root_fd, "", 1) < 0)
		store_report(store, LOG_WARNING, "", "not searched for what interrupted work left");
}

/* ---- The index of identities ------------------------------------------------------------------------------------- */

static void index_clear(struct identity_index **table)
{
	struct identity_index *item;
	struct identity_index *next;

	HASH_ITER (hh, *table, item, next) {
		HASH_DEL(*table, item);
		free(item);
	}
}

static int index_add(struct identity_index **table, const struct uuid *id, int change)
{
	struct identity_index *item = NULL;

	HASH_FIND(hh, *table, id, sizeof(*id), item);
	if (!item) {
		item = calloc(1, sizeof(*item));
		if (!item)
			return -ENOMEM;
		item->id = *id;
		HASH_ADD(hh, *table, id, sizeof(item->id), item);
	}
	if (change > 0)
		item->count++;
	else if (item->count > 0)
		item->count--;
	return 0;
}

static int index_directory(void *arg, int parent_fd, const char *name, const char *path)
{
	struct identity_index **table = arg;
	struct uuid id;
	int r = identity_peek(parent_fd, name, &id);

	(void)path;
	/* Without an identity it is foreign and nobody's double. */
	return r < 0 ? (r == -ENOMEM ? r : 0) : index_add(table, &id, 1);
}

/* Under the store's mutex. */
static int index_make(struct store *store, bool rescan)
{
	/* A volume without any snapshot is walked again each time, which costs nothing. */
	if (store->identities && !rescan)
		return 0;
	index_clear(&store->identities);
	return snapshot_walk(store, index_directory, &store->identities);
}

int identity_count(struct store *store, const struct uuid *id, bool rescan, unsigned *ret_count)
{
	const struct identity_index *item = NULL;
	int r;

	pthread_mutex_lock(&store->mutex);
	r = index_make(store, rescan);
	if (r == 0) {
		HASH_FIND(hh, store->identities, id, sizeof(*id), item);
		*ret_count = item ? item->count : 0;
	}
	pthread_mutex_unlock(&store->mutex);
	return r;
}

void identity_index_change(struct store *store, const struct uuid *id, int change)
{
	pthread_mutex_lock(&store->mutex);
	/* An index that is not there yet will see it on storage. */
	if (store->identities && index_add(&store->identities, id, change) < 0)
		index_clear(&store->identities);
	pthread_mutex_unlock(&store->mutex);
}

void identity_index_free(struct store *store)
{
	index_clear(&store->identities);
}
