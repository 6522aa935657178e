/* SPDX-License-Identifier: Apache-2.0 */
/* Withdrawing a DEK from a running mount, and what else others may ask of one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "fs/mount/reply.h"
#include "fs/mount/session.h"
#include "fs/store/file.h"
#include "fs/store/name.h"
#include "fs/store/snapshot.h"

/* What the kernel has to forget: inodes by id, and entries. */
struct forgotten_entry {
	uint64_t parent;
	char name[BACKING_NAME_SIZE];
};

struct withdrawal {
	struct mount *mount;
	const struct uuid *dek_id;
	uint16_t number;
	const struct node *snapshot; /* the directory node of a snapshot under this DEK */
	struct forgotten_entry *entries;
	size_t entry_count;
};

static bool is_directory(void *arg, const struct node *node)
{
	(void)arg;
	return node_type(node) == S_IFDIR;
}

static bool has_pages(void *arg, const struct node *node)
{
	const struct withdrawal *withdrawal = arg;

	return node->dek == withdrawal->number;
}

static bool is_below_snapshot(void *arg, const struct node *node)
{
	const struct withdrawal *withdrawal = arg;

	while (node && node != withdrawal->snapshot)
		node = node->names ? node->names->parent : NULL;
	return node != NULL;
}

static bool is_child_of_snapshot(void *arg, const struct node *node)
{
	const struct withdrawal *withdrawal = arg;

	return node->names && node->names->parent == withdrawal->snapshot;
}

static void add_entry(struct withdrawal *withdrawal, uint64_t parent, const char *name)
{
	struct forgotten_entry *entries =
		reallocarray(withdrawal->entries, withdrawal->entry_count + 1, sizeof(*entries));

	if (!entries)
		return;
	withdrawal->entries = entries;
	struct forgotten_entry *entry = &entries[withdrawal->entry_count++];

	entry->parent = parent;
	strncpy(entry->name, name, sizeof(entry->name) - 1);
	entry->name[sizeof(entry->name) - 1] = '\0';
}

static void forget_inodes(struct withdrawal *withdrawal,
			  bool (*wanted)(void *arg, const struct node *node))
{
	struct mount *mount = withdrawal->mount;
	uint64_t *ids = NULL;
	size_t count = 0;

	if (nodes_select(mount->nodes, wanted, withdrawal, &ids, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		notifier_inode(mount->notifier, ids[i], 0, 0);
	free(ids);
}

/* The root of a restore mount has no entry above it, so those in it are forgotten; their names need the key, while it is here. */
static void note_children(struct withdrawal *withdrawal, const struct place *place)
{
	struct mount *mount = withdrawal->mount;
	uint64_t *ids = NULL;
	size_t count = 0;

	if (nodes_select(mount->nodes, is_child_of_snapshot, withdrawal, &ids, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		struct node *node = nodes_find(mount->nodes, ids[i]);
		struct node *parent = NULL;
		char backing[BACKING_NAME_SIZE];
		char plain[256];

		if (!node || nodes_location(mount->nodes, node, &parent, backing) < 0)
			continue;
		nodes_release(mount->nodes, parent);
		if (name_decode(place, backing, plain) == 0)
			add_entry(withdrawal, FUSE_ROOT_ID, plain);
	}
	free(ids);
}

/* Names at snapshot depth are plain.  Forgetting the entry of a directory takes with it everything below. */
static void note_snapshot(struct withdrawal *withdrawal, struct node *node,
			  const struct place *place)
{
	struct mount *mount = withdrawal->mount;
	struct node *parent = NULL;
	char name[BACKING_NAME_SIZE];

	withdrawal->snapshot = node;
	if (node->id == FUSE_ROOT_ID) {
		note_children(withdrawal, place);
	} else if (nodes_location(mount->nodes, node, &parent, name) == 0) {
		add_entry(withdrawal, parent->id, name);
		nodes_release(mount->nodes, parent);
	}
	forget_inodes(withdrawal, is_below_snapshot);
}

/* Snapshots under the DEK that the kernel knows.  The namespace lock is held. */
static void note_snapshots(struct withdrawal *withdrawal)
{
	struct mount *mount = withdrawal->mount;
	uint64_t *ids = NULL;
	size_t count = 0;

	if (nodes_select(mount->nodes, is_directory, NULL, &ids, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		struct node *node = nodes_find(mount->nodes, ids[i]);
		struct place place;

		if (!node)
			continue;
		nodes_hold(mount->nodes, node);
		if (directory_get(mount->directories, node, &place) == 0) {
			if (place.depth == mount->snapshot_depth &&
			    uuid_equal(snapshot_dek_id(place.snapshot), withdrawal->dek_id))
				note_snapshot(withdrawal, node, &place);
			directory_put(mount->directories, node);
		}
		nodes_release(mount->nodes, node);
	}
	free(ids);
}

void mount_revoke_dek(struct mount *mount, const struct uuid *dek_id, enum key_state state)
{
	int error = key_state_errno(state);
	struct withdrawal withdrawal = {
		.mount = mount,
		.dek_id = dek_id,
		.number = open_files_dek_number(mount->files, dek_id),
	};

	/* No new use; what runs comes to its end; what was acknowledged is written while the key is here. */
	open_files_refuse(mount->files, dek_id, error);
	int r = files_flush_dek(mount->store, dek_id);

	pthread_rwlock_rdlock(&mount->namespace_lock);
	note_snapshots(&withdrawal);
	pthread_rwlock_unlock(&mount->namespace_lock);
	int closed = open_files_withdraw(mount->files, dek_id, error);

	if (r < 0 || closed < 0)
		store_report(mount->store, LOG_ERR, "",
			     "writes under a withdrawn key were lost: %s",
			     strerror(r < 0 ? -r : -closed));
	dek_ring_revoke(store_deks(mount->store), dek_id, state);

	/* Only now, or the kernel would fill its caches again. */
	for (size_t i = 0; i < withdrawal.entry_count; i++)
		notifier_entry(mount->notifier, withdrawal.entries[i].parent,
			       withdrawal.entries[i].name);
	forget_inodes(&withdrawal, has_pages);
	notifier_drain(mount->notifier);
	free(withdrawal.entries);
}

void mount_restore_dek(struct mount *mount, const struct uuid *dek_id)
{
	dek_ring_restore(store_deks(mount->store), dek_id);
	open_files_refuse(mount->files, dek_id, 0);
}

int mount_get_status(struct mount *mount, struct mount_status *ret_status)
{
	struct uuid *deks = NULL;
	size_t dek_count = 0;

	*ret_status = (struct mount_status){
		.queue_bytes = write_queue_bytes(mount->queue),
		.open_files = open_files_count(mount->files),
		.parked_requests = park_count(mount->park),
		.nodes = nodes_count(mount->nodes),
		.descriptors = directories_open(mount->directories),
		.authentication_failures = mount->authentication_failures,
		.io_failures = mount->io_failures,
	};
	if (dek_ring_list(store_deks(mount->store), &deks, &dek_count) == 0)
		ret_status->data_keys = dek_count;
	free(deks);
	return health_status(mount->health, &ret_status->keys, &ret_status->key_count);
}

struct store *mount_store(struct mount *mount)
{
	return mount->store;
}

const struct mount_options *mount_get_options(const struct mount *mount)
{
	return mount->options;
}

int mount_flush(struct mount *mount)
{
	return open_files_flush(mount->files);
}

void mount_end(struct mount *mount)
{
	mount->has_ended = true;
	mount_wake(mount);
}

void mount_probe_keys(struct mount *mount)
{
	dek_ring_forget_failures(store_deks(mount->store));
	health_probe(mount->health);
}

void mount_forget_entry(struct mount *mount, const char *name)
{
	notifier_entry(mount->notifier, FUSE_ROOT_ID, name);
	notifier_inode(mount->notifier, FUSE_ROOT_ID, 0, 0);
}
