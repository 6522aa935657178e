/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing under a running mount: the end of all use that could change the snapshot, and of what the kernel has cached. */
#include "fs/mount/seal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

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
	if (nodes_location(mount->nodes, directory, &parent, name) == 0) {
		notifier_entry(mount->notifier, parent->id, name);
		nodes_release(mount->nodes, parent);
	}
}

static void sealed(void *arg, struct snapshot *snapshot)
{
	struct mount *mount = arg;
	uint64_t *ids = NULL;
	size_t count = 0;

	store_report(mount->store, LOG_INFO, snapshot_name(snapshot), "sealed");
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

struct seal_options mount_seal_options(struct mount *mount, bool seals_dependencies)
{
	return (struct seal_options){
		.seals_dependencies = seals_dependencies,
		.quiesce = quiesce,
		.sealed = sealed,
		.arg = mount,
	};
}
