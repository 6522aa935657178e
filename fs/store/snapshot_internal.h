/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots, for snapshot*.c only. */
#ifndef SNAPCRYPT_FS_STORE_SNAPSHOT_INTERNAL_H
#define SNAPCRYPT_FS_STORE_SNAPSHOT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#include "fs/store/snapshot.h"
#include "fs/store/snapshot_identity.h"
#include "fs/store/store_internal.h"

#define NEW_SNAPSHOT_PREFIX ".snapcrypt-new-"

/* A path that a snapshot had: callers may still hold the text. */
struct snapshot_path {
	struct snapshot_path *older;
	char text[];
};

/* DEKs of other snapshots whose needed-by marker is known to be there. */
struct dependency {
	struct uuid dek;
	UT_hash_handle hh;
};

struct snapshot {
	struct store *store;
	atomic_uint reference_count;
	struct uuid id;
	struct identity identity;
	bool is_foreign_by_identity;
	bool is_trusted; /* signature of the identity */
	dev_t device;
	ino_t inode;
	_Atomic(struct snapshot_path *) path;
	atomic_bool is_duplicate;
	atomic_bool is_incomplete;
	atomic_bool is_not_authentic; /* the MAC does not verify: foreign after all */
	atomic_bool is_mac_verified;
	atomic_bool is_marked; /* this mount's mark is durable */
	atomic_bool is_refusal_reported;
	atomic_int tag_log; /* file_tags.c; -1: not opened */

	pthread_mutex_t mutex; /* guards what follows; taken before the store's */
	struct dependency *dependencies;
	struct sealed_view *view; /* of a sealed one, once somebody has asked for it */
	bool has_current;         /* streams: the DEK in use */
	struct uuid current_dek;
	int64_t current_start_s;
	UT_hash_handle hh;
};

bool snapshot_is_foreign(const struct snapshot *snapshot);

/* file_tags.c: close the log of tags. */
void snapshot_close_tags(struct snapshot *snapshot);

/* ---- snapshot_walk.c --------------------------------------------------------------------------------------------- */

/* Every snapshot-level directory: opened below PARENT_FD as NAME; PATH is its path below the root.  Non-zero stops. */
typedef int (*snapshot_visit)(void *arg, int parent_fd, const char *name, const char *path);
MUST_CHECK int snapshot_walk(struct store *store, snapshot_visit visit, void *arg);
/* Remove what an interrupted snapshot_create() or publication left.  Only while nothing is being made. */
void snapshot_remove_left_overs(struct store *store);
/* How many directories have this identity; the index is made at first need, or anew with RESCAN. */
MUST_CHECK int identity_count(struct store *store, const struct uuid *id, bool rescan,
			      unsigned *ret_count);
void identity_index_change(struct store *store, const struct uuid *id, int change);
void identity_index_free(struct store *store);

/* ---- snapshot_mark.c --------------------------------------------------------------------------------------------- */

/* Say durably that this mount writes to the snapshot. */
MUST_CHECK int snapshot_mark(struct store *store, const struct uuid *id);
void snapshot_unmark(struct store *store, const struct uuid *id);
/* Did a mount that is no more, and did not end cleanly, write to it last? */
bool snapshot_mark_is_dead(struct store *store, const struct uuid *id);

/* ---- snapshot_stream.c ------------------------------------------------------------------------------------------- */

/* The DEK of the period, made anew when it is over. */
MUST_CHECK int snapshot_stream_dek(struct snapshot *snapshot, struct dek **ret_dek);

/* ---- snapshot_keys.c --------------------------------------------------------------------------------------------- */

/* Write the index attribute of a snapshot directory open at FD; what cannot be written is no error. */
void snapshot_write_index(struct snapshot *snapshot);
void key_id_write_index(int fd, const char *key_ids);

/* ---- dek_index.c ------------------------------------------------------------------------------------------------- */

/* Every DEK in keys/.  Non-zero stops. */
MUST_CHECK int dek_each(struct store *store, int (*visit)(void *arg, const struct uuid *dek_id),
			void *arg);
/* DEKs whose needed-by marker names the snapshot; and those whose key record does.  free() the array. */
MUST_CHECK int dek_index_needed(struct store *store, const struct uuid *snapshot,
				struct uuid **ret_deks, size_t *ret_count);
MUST_CHECK int dek_index_owned(struct store *store, const struct uuid *snapshot,
			       struct uuid **ret_deks, size_t *ret_count);
/* A marker was written or removed. */
void dek_index_forget(struct store *store);
void dek_index_free(struct store *store);

#endif
