/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing under a running mount: the end of all use that could change the snapshot, and of what the kernel has cached. */
#include "fs/mount/seal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "fs/mount/scope.h"
#include "fs/mount/session.h"
#include "fs/store/snapshot.h"

/*
 * New changes are refused already.  Requests that were let in before hold the namespace lock, or an open file's: they come to
 * their end here.
 */
static int quiesce(void *arg, struct snapshot *snapshot, const struct uuid *deks, size_t count)
{
	struct mount *mount = arg;
	int first = 0;

	(void)snapshot;
	pthread_rwlock_wrlock(&mount->namespace_lock);
	pthread_rwlock_unlock(&mount->namespace_lock);
	for (size_t i = 0; i < count; i++) {
		int r = open_files_end(mount->files, &deks[i], -EROFS);

		if (first == 0)
			first = r;
	}
	return first;
}

struct below {
	const struct node *directory;
};

static bool is_below(void *arg, const struct node *node)
{
	const struct below *below = arg;

	while (node && node != below->directory)
		node = node->names ? node->names->parent : NULL;
	return node != NULL;
}

static bool is_directory(void *arg, const struct node *node)
{
	(void)arg;
	return node_type(node) == S_IFDIR;
}

/* The kernel may have listed it, and cached its attributes and pages for long: from now on the manifest counts. */
static void forget_below(struct mount *mount, const struct node *directory)
{
	struct below below = { directory };
	struct node *parent = NULL;
	char name[BACKING_NAME_SIZE];
	uint64_t *ids = NULL;
	size_t count = 0;

	if (nodes_select(mount->nodes, is_below, &below, &ids, &count) == 0)
		for (size_t i = 0; i < count; i++)
			notifier_inode(mount->notifier, ids[i], 0, 0);
	free(ids);
	/* Names at snapshot depth are plain. */
	if (nodes_location(mount->nodes, directory, &parent, name) >= 0) {
		notifier_entry(mount->notifier, parent->id, name);
		nodes_release(mount->nodes, parent);
	}
}

/* Whoever reads goes on, from now on with what the manifest says: the files are opened again. */
static void close_files(struct mount *mount, struct snapshot *snapshot)
{
	struct uuid *deks = NULL;
	size_t count = 0;

	if (snapshot_deks(snapshot, &deks, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		/* Nothing was written since quiesce(). */
		(void)!open_files_end(mount->files, &deks[i], -EROFS);
	free(deks);
}

static void sealed(void *arg, struct snapshot *snapshot)
{
	struct mount *mount = arg;
	uint64_t *ids = NULL;
	size_t count = 0;

	store_report(mount->store, LOG_INFO, snapshot_name(snapshot), "sealed");
	close_files(mount, snapshot);
	pthread_rwlock_rdlock(&mount->namespace_lock);
	if (nodes_select(mount->nodes, is_directory, NULL, &ids, &count) < 0)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		struct node *node = nodes_find(mount->nodes, ids[i]);
		struct place place;

		if (!node)
			continue;
		nodes_hold(mount->nodes, node);
		if (directory_get(mount->directories, node, &place) == 0) {
			if (place.depth == mount->snapshot_depth &&
			    uuid_equal(snapshot_id(place.snapshot), snapshot_id(snapshot)))
				forget_below(mount, node);
			directory_put(mount->directories, node);
		}
		nodes_release(mount->nodes, node);
	}
	pthread_rwlock_unlock(&mount->namespace_lock);
	free(ids);
}

void mount_forget_snapshot(struct mount *mount, const char *name)
{
	uint64_t *ids = NULL;
	size_t count = 0;

	pthread_rwlock_rdlock(&mount->namespace_lock);
	if (nodes_select(mount->nodes, is_directory, NULL, &ids, &count) < 0)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		struct node *node = nodes_find(mount->nodes, ids[i]);
		char *path = node ? nodes_path(mount->nodes, node, NULL, NULL) : NULL;

		/* Names down to a snapshot are plain. */
		if (path && strcmp(path, name) == 0)
			forget_below(mount, node);
		free(path);
	}
	pthread_rwlock_unlock(&mount->namespace_lock);
	free(ids);
}

struct seal_options mount_seal_options(struct mount *mount, bool seals_dependencies)
{
	return (struct seal_options){
		.seals_dependencies = seals_dependencies,
		.quiesce = quiesce,
		.sealed = sealed,
		.arg = mount,
	};
}

/* ---- Sealing without a command ------------------------------------------------------------------------------------- */

static int find_snapshot(struct mount *mount, fuse_ino_t id, struct snapshot **ret_snapshot)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_enter(&scope, mount, id);

	if (r < 0)
		return r;
	if (scope.place.depth != mount->snapshot_depth)
		return -EPERM;
	*ret_snapshot = snapshot_ref(scope.place.snapshot);
	return 0;
}

static int seal(struct mount *mount, struct snapshot *snapshot)
{
	const struct seal_options options = mount_seal_options(mount, false);
	CLEANUP(seal_cleanup) struct seal seal = { 0 };
	struct store_error error = { 0 };
	int r;

	if (snapshot_state(snapshot) == SNAPSHOT_SEALED)
		return 0;
	r = snapshot_seal(snapshot, &options, &seal, &error);
	if (r < 0)
		store_report(mount->store, LOG_ERR, "", "not sealed: %s", error.text);
	return r;
}

int mount_seal_node(struct mount *mount, fuse_ino_t id)
{
	struct snapshot *snapshot = NULL;
	int r = mount->is_read_only ? -EROFS : find_snapshot(mount, id, &snapshot);

	if (r < 0)
		return r;
	loop_expect_delay();
	r = seal(mount, snapshot);
	snapshot_put(snapshot);
	return r;
}

bool mount_seals_rename(const struct mount *mount, const char *name, const char *new_name)
{
	static const char suffix[] = ".partial";
	const size_t size = strlen(new_name);

	return !mount->is_read_only && store_volume(mount->store)->seal_on == SEAL_ON_RENAME &&
	       strncmp(name, new_name, size) == 0 && strcmp(name + size, suffix) == 0;
}

static int seal_if_written(void *arg, struct snapshot *snapshot, int fd)
{
	(void)fd;
	if (snapshot_was_written(snapshot) && snapshot_kind(snapshot) == SNAPSHOT_PLAIN_DIRECTORY &&
	    snapshot_is_encrypted(snapshot))
		(void)!seal(arg, snapshot);
	return 0;
}

void mount_seal_written(struct mount *mount)
{
	if (mount->is_read_only || store_volume(mount->store)->seal_on != SEAL_ON_UNMOUNT)
		return;
	if (snapshot_each(mount->store, seal_if_written, mount) < 0)
		store_report(mount->store, LOG_ERR, "", "not all snapshots were sealed");
}
