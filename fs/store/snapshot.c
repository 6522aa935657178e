/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: who a directory is, and what may be done in it.
 *
 * A snapshot object stays in the store's cache until the store is closed or its directory is gone, so that all who use one
 * directory share its state.
 */
#include "fs/store/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include "fs/store/own_credentials.h"
#include "fs/store/sealed_view.h"
#include "fs/store/snapshot_internal.h"
#include "fs/store/tag_memory.h"

static const struct uuid no_id;

/* ---- Life -------------------------------------------------------------------------------------------------------- */

static int set_path(struct snapshot *snapshot, const char *text)
{
	struct snapshot_path *path = malloc(sizeof(*path) + strlen(text) + 1);

	if (!path)
		return -ENOMEM;
	path->older = atomic_load(&snapshot->path);
	strcpy(path->text, text);
	atomic_store(&snapshot->path, path);
	return 0;
}

static struct snapshot *snapshot_new(struct store *store, const char *name, const struct stat *st)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

	if (!snapshot)
		return NULL;
	if (pthread_mutex_init(&snapshot->mutex, NULL) != 0 || set_path(snapshot, name) < 0) {
		free(snapshot);
		return NULL;
	}
	snapshot->store = store;
	snapshot->device = st->st_dev;
	snapshot->inode = st->st_ino;
	atomic_store(&snapshot->reference_count, 1);
	atomic_store(&snapshot->tag_log, -1);
	return snapshot;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
	atomic_fetch_add(&snapshot->reference_count, 1);
	return snapshot;
}

void snapshot_put(struct snapshot *snapshot)
{
	struct dependency *dependency;
	struct dependency *next_dependency;

	if (!snapshot || atomic_fetch_sub(&snapshot->reference_count, 1) != 1)
		return;
	for (struct snapshot_path *path = atomic_load(&snapshot->path); path;) {
		struct snapshot_path *older = path->older;

		free(path);
		path = older;
	}
	HASH_ITER (hh, snapshot->dependencies, dependency, next_dependency) {
		HASH_DEL(snapshot->dependencies, dependency);
		free(dependency);
	}
	identity_free(&snapshot->identity);
	snapshot_close_tags(snapshot);
	pthread_mutex_destroy(&snapshot->mutex);
	free(snapshot);
}

/* ---- What a directory is ----------------------------------------------------------------------------------------- */

/* The list may have changed since the volume was opened. */
static bool lists_plaintext(struct store *store, const struct uuid *id, const char *name)
{
	bool is_listed;

	pthread_mutex_lock(&store->mutex);
	is_listed = volume_record_lists_plaintext(
		store->current.generation ? &store->current : &store->volume, id, name);
	pthread_mutex_unlock(&store->mutex);
	return is_listed;
}

/* Why an identity does not count for this directory; NULL: it does. */
static const char *identity_fault(struct store *store, const struct identity *identity,
				  const char *name, bool is_root)
{
	if (!uuid_equal(&identity->volume, &store->volume.volume))
		return "its identity is of another volume";
	if ((identity->kind == IDENTITY_ROOT) != is_root)
		return "its identity is of another kind";
	if (identity->is_encrypted && !store->volume.is_encrypted)
		return "its identity is encrypted, the volume is not";
	if (!identity->is_encrypted && store->volume.is_encrypted &&
	    !lists_plaintext(store, &identity->snapshot, name))
		return "its identity says plaintext, and it is not in the volume's list of plaintext snapshots";
	return NULL;
}

static const char *read_fault(int error)
{
	switch (error) {
	case -ENOENT:
		return "it has no identity";
	case -ENOTSUP:
		return "its identity is of a newer format";
	default:
		return "its identity is not authentic";
	}
}

/* 0 also where the directory is foreign; FAULT says why. */
static int read_identity(struct snapshot *snapshot, int fd, bool is_root, const char **fault)
{
	struct store *store = snapshot->store;
	enum trust_origin origin = TRUST_UNKNOWN_WRITER;
	int r = identity_read(store->trust, fd, &snapshot->identity, &origin);

	if (r == -ENOENT || r == -EBADMSG || r == -ENOTSUP || r == -ELOOP || r == -EXDEV) {
		*fault = read_fault(r);
		return 0;
	}
	if (r < 0)
		return r;
	snapshot->is_trusted = trust_origin_is_trusted(origin);
	*fault = identity_fault(store, &snapshot->identity, snapshot_name(snapshot), is_root);
	if (!*fault && !snapshot->is_trusted && trust_requires_origin(store->trust))
		*fault = "origin not verified, and require_trusted_origin is set";
	return 0;
}

static int identify(struct snapshot *snapshot, int fd, bool is_root)
{
	const char *fault = NULL;
	int r = read_identity(snapshot, fd, is_root, &fault);

	if (r < 0)
		return r;
	if (fault) {
		snapshot->is_foreign_by_identity = true;
		store_report(snapshot->store, LOG_NOTICE, snapshot_name(snapshot), "foreign: %s",
			     fault);
		return 0;
	}
	snapshot->id = snapshot->identity.snapshot;
	atomic_store(&snapshot->is_incomplete,
		     snapshot_mark_is_dead(snapshot->store, &snapshot->id));
	return 0;
}

static bool is_same_directory(const struct snapshot *a, const struct snapshot *b)
{
	return a->device == b->device && a->inode == b->inode;
}

static struct snapshot *cached(struct store *store, const struct uuid *id)
{
	struct snapshot *found = NULL;

	HASH_FIND(hh, store->snapshots, id, sizeof(*id), found);
	return found;
}

/*
 * Put FRESH into the cache, or find the one that is there.  Two directories with one identity: the one that is served already
 * and this one, or two that the index knows.
 */
static int enter_cache(struct snapshot *fresh, struct snapshot **ret_snapshot)
{
	struct store *store = fresh->store;
	struct snapshot *known;
	struct snapshot *stale = NULL;
	unsigned count = 0;
	bool is_suspect;
	int r;

	pthread_mutex_lock(&store->mutex);
	known = cached(store, &fresh->id);
	if (known && is_same_directory(known, fresh) && !atomic_load(&known->is_duplicate)) {
		*ret_snapshot = snapshot_ref(known);
		pthread_mutex_unlock(&store->mutex);
		return 0;
	}
	is_suspect = known != NULL;
	pthread_mutex_unlock(&store->mutex);

	r = identity_count(store, &fresh->id, is_suspect, &count);
	if (r < 0)
		return r;
	pthread_mutex_lock(&store->mutex);
	known = cached(store, &fresh->id);
	if (known)
		atomic_store(&known->is_duplicate, count > 1);
	if (known && is_same_directory(known, fresh)) {
		*ret_snapshot = snapshot_ref(known);
	} else {
		atomic_store(&fresh->is_duplicate, count > 1);
		if (known && count <= 1) {
			/* The directory that had this identity is gone. */
			HASH_DEL(store->snapshots, known);
			stale = known;
			known = NULL;
		}
		if (!known) {
			snapshot_ref(fresh);
			HASH_ADD(hh, store->snapshots, id, sizeof(fresh->id), fresh);
		}
		*ret_snapshot = snapshot_ref(fresh);
	}
	pthread_mutex_unlock(&store->mutex);
	if (stale)
		snapshot_drop_view(stale);
	snapshot_put(stale);
	return 0;
}

static int open_directory(struct store *store, int fd, const char *name, bool is_root,
			  struct snapshot **ret_snapshot)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	struct snapshot *snapshot;
	struct stat st;
	int r;

	(void)saved;
	if (fstat(fd, &st) < 0)
		return -errno;
	snapshot = snapshot_new(store, name, &st);
	if (!snapshot)
		return -ENOMEM;
	r = identify(snapshot, fd, is_root);
	if (r < 0 || is_root || snapshot->is_foreign_by_identity) {
		if (r == 0)
			*ret_snapshot = TAKE(snapshot);
		snapshot_put(snapshot);
		return r;
	}
	r = enter_cache(snapshot, ret_snapshot);
	if (r == 0 && atomic_load(&(*ret_snapshot)->is_duplicate))
		store_report(
			store, LOG_ERR, name,
			"duplicate: another directory has the same identity; both are read-only");
	snapshot_put(snapshot);
	return r;
}

int snapshot_open(struct store *store, int fd, const char *name, struct snapshot **ret_snapshot)
{
	struct snapshot *snapshot = NULL;
	int r = open_directory(store, fd, name, false, &snapshot);

	if (r == 0 && strcmp(snapshot_name(snapshot), name) != 0)
		snapshot_renamed(snapshot, name);
	if (r == 0)
		*ret_snapshot = snapshot;
	return r;
}

int store_open_root_snapshot(struct store *store, struct store_error *reterr)
{
	int r;

	if (store->is_writable)
		snapshot_remove_left_overs(store);
	r = open_directory(store, store->root_fd, ".", true, &store->root);
	return r < 0 ? store_fail(reterr, r, EXIT_STORAGE, IDENTITY_FILE ": %s", strerror(-r)) : 0;
}

struct snapshot *snapshot_root(struct store *store)
{
	return snapshot_ref(store->root);
}

void store_free_snapshots(struct store *store)
{
	struct snapshot *snapshot;
	struct snapshot *next;

	HASH_ITER (hh, store->snapshots, snapshot, next) {
		HASH_DEL(store->snapshots, snapshot);
		snapshot_drop_view(snapshot);
		snapshot_put(snapshot);
	}
	snapshot_put(store->root);
	store->root = NULL;
	identity_index_free(store);
	dek_index_free(store);
}

/* Take it out of the cache: its directory is gone. */
static void forget(struct snapshot *snapshot)
{
	struct store *store = snapshot->store;
	struct snapshot *known;

	identity_index_change(store, &snapshot->id, -1);
	snapshot_unmark(store, &snapshot->id);
	tag_memory_remove(store, &snapshot->id);
	pthread_mutex_lock(&store->mutex);
	known = cached(store, &snapshot->id);
	if (known == snapshot)
		HASH_DEL(store->snapshots, known);
	else
		known = NULL;
	pthread_mutex_unlock(&store->mutex);
	if (known)
		snapshot_drop_view(known);
	snapshot_put(known);
}

void snapshot_renamed(struct snapshot *snapshot, const char *path)
{
	if (path)
		/* Without memory the old path stays in messages. */
		(void)(set_path(snapshot, path) < 0);
	else if (!snapshot->is_foreign_by_identity)
		forget(snapshot);
}

/* ---- What is known ----------------------------------------------------------------------------------------------- */

struct store *snapshot_store(const struct snapshot *snapshot)
{
	return snapshot->store;
}

const struct uuid *snapshot_id(const struct snapshot *snapshot)
{
	return &snapshot->id;
}

const char *snapshot_name(const struct snapshot *snapshot)
{
	return atomic_load(&snapshot->path)->text;
}

enum snapshot_kind snapshot_kind(const struct snapshot *snapshot)
{
	switch (snapshot->identity.kind) {
	case IDENTITY_STREAM:
		return SNAPSHOT_STREAM;
	case IDENTITY_ROOT:
		return SNAPSHOT_ROOT;
	default:
		return SNAPSHOT_PLAIN_DIRECTORY;
	}
}

bool snapshot_is_foreign(const struct snapshot *snapshot)
{
	return snapshot->is_foreign_by_identity || atomic_load(&snapshot->is_not_authentic);
}

enum snapshot_state snapshot_state(const struct snapshot *snapshot)
{
	if (snapshot_is_foreign(snapshot))
		return SNAPSHOT_FOREIGN;
	if (atomic_load(&snapshot->is_duplicate))
		return SNAPSHOT_DUPLICATE;
	if (store_snapshot_is_sealed(snapshot->store, &snapshot->id))
		return SNAPSHOT_SEALED;
	return atomic_load(&snapshot->is_incomplete) ? SNAPSHOT_INCOMPLETE : SNAPSHOT_OPEN;
}

bool snapshot_is_sealed(const struct snapshot *snapshot)
{
	return !snapshot_is_foreign(snapshot) &&
	       store_snapshot_is_sealed(snapshot->store, &snapshot->id);
}

ino_t snapshot_inode(const struct snapshot *snapshot)
{
	return snapshot->inode;
}

const char *snapshot_state_name(enum snapshot_state state)
{
	static const char *const names[] = {
		[SNAPSHOT_OPEN] = "open",
		[SNAPSHOT_SEALED] = "sealed",
		[SNAPSHOT_INCOMPLETE] = "incomplete",
		[SNAPSHOT_FOREIGN] = "foreign",
		[SNAPSHOT_DUPLICATE] = "duplicate",
	};

	return names[state];
}

int64_t snapshot_created_s(const struct snapshot *snapshot)
{
	return snapshot->identity.created_s;
}

bool snapshot_is_encrypted(const struct snapshot *snapshot)
{
	/* What is foreign is not known to be plain, and is served neither way. */
	return snapshot->is_foreign_by_identity || snapshot->identity.is_encrypted;
}

bool snapshot_has_encrypted_names(const struct snapshot *snapshot)
{
	return snapshot->store->volume.has_encrypted_names && snapshot_is_encrypted(snapshot) &&
	       snapshot->identity.kind == IDENTITY_SNAPSHOT;
}

bool snapshot_is_trusted(const struct snapshot *snapshot)
{
	return snapshot->is_trusted;
}

const struct uuid *snapshot_dek_id(const struct snapshot *snapshot)
{
	return snapshot_is_foreign(snapshot) ? &no_id : &snapshot->identity.dek;
}
