/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of a volume: identity, state, and which DEK new objects get. */
#ifndef SNAPCRYPT_FS_STORE_SNAPSHOT_H
#define SNAPCRYPT_FS_STORE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/store/store.h"

enum snapshot_kind { SNAPSHOT_PLAIN_DIRECTORY, SNAPSHOT_STREAM, SNAPSHOT_ROOT };
enum snapshot_state {
	SNAPSHOT_OPEN,
	SNAPSHOT_SEALED,
	SNAPSHOT_INCOMPLETE,
	SNAPSHOT_FOREIGN,
	SNAPSHOT_DUPLICATE,
};

/* Counted.  Thread-safe; what can change (state) is read with functions. */
struct snapshot;

/*
 * The snapshot whose directory is open at FD (NAME: its path below the root, for messages), verified: signature, MAC when
 * the DEK is there.  A directory without valid identity gives a snapshot in state foreign, which serves nothing.
 */
MUST_CHECK int snapshot_open(struct store *store, int fd, const char *name,
			     struct snapshot **ret_snapshot);
struct snapshot *snapshot_root(struct store *store); /* the root snapshot; a new reference */
struct snapshot *snapshot_ref(struct snapshot *snapshot);
void snapshot_put(struct snapshot *snapshot); /* accepts NULL */

struct store *snapshot_store(const struct snapshot *snapshot);
const struct uuid *snapshot_id(const struct snapshot *snapshot);
const char *snapshot_name(const struct snapshot *snapshot);
enum snapshot_kind snapshot_kind(const struct snapshot *snapshot);
enum snapshot_state snapshot_state(const struct snapshot *snapshot);
/* Does a manifest say what is in it?  Also where two directories have this identity (state duplicate). */
bool snapshot_is_sealed(const struct snapshot *snapshot);
const char *snapshot_state_name(enum snapshot_state state);
ino_t snapshot_inode(const struct snapshot *snapshot); /* of its directory below */
int64_t snapshot_created_s(const struct snapshot *snapshot);
bool snapshot_is_encrypted(const struct snapshot *snapshot); /* false: "Not enabled" */
bool snapshot_has_encrypted_names(const struct snapshot *snapshot);

/*
 * 0, or why nothing may be created or changed in it: -EROFS (sealed, duplicate, read-only, plaintext), -EACCES (untrusted,
 * foreign), -EAGAIN or the key's error (its DEK must be there to know).  Marks it as written by this mount, durably, once.
 */
MUST_CHECK int snapshot_may_write(struct snapshot *snapshot);

/* The DEK of names; of new objects (draws a new one for a stream whose period is over).  -EAGAIN as in store.h. */
MUST_CHECK int snapshot_name_dek(struct snapshot *snapshot, struct dek **ret_dek);
MUST_CHECK int snapshot_write_dek(struct snapshot *snapshot, struct dek **ret_dek);

/*
 * Make a snapshot: key record durable, then the directory with its identity prepared under a reserved name beside its final
 * one (so that the kernel gives it mode, owner, ACL, group and quota as to any directory that the calling thread makes
 * there), durable, then renamed to NAME in PARENT_FD without replacing (-EEXIST).  PATH: NAME's path below the root.
 * May take a spare DEK; otherwise -EAGAIN until the key service has made one.
 */
MUST_CHECK int snapshot_create(struct store *store, int parent_fd, const char *name,
			       const char *path, mode_t mode);

/* The same for a stream: its names are plain, its DEKs are made at first use and every PERIOD_S. */
MUST_CHECK int snapshot_create_stream(struct store *store, int parent_fd, const char *name,
				      const char *path, mode_t mode, int64_t period_s);

/* The directory of a snapshot has got the path PATH below the root, or (NULL) is gone. */
void snapshot_renamed(struct snapshot *snapshot, const char *path);

/* Did this store write to it (snapshot_may_write())? */
bool snapshot_was_written(const struct snapshot *snapshot);

/* Its DEK: zero for streams, root and plaintext. */
const struct uuid *snapshot_dek_id(const struct snapshot *snapshot);

/* Is its identity signed by a writer that is trusted here? */
bool snapshot_is_trusted(const struct snapshot *snapshot);

/* Which objects of SNAPSHOT are under a DEK of another: makes keys/<dek>/needed-by/<snapshot> durable, once. */
MUST_CHECK int snapshot_add_dependency(struct snapshot *snapshot, const struct uuid *dek_id);

/* Every snapshot-level directory in turn.  VISIT gets a borrowed snapshot; non-zero stops. */
MUST_CHECK int snapshot_each(struct store *store,
			     int (*visit)(void *arg, struct snapshot *snapshot, int fd), void *arg);

/* Its own DEK, and those of files linked from other snapshots; free() the array. */
MUST_CHECK int snapshot_deks(struct snapshot *snapshot, struct uuid **ret_deks, size_t *ret_count);

/* Write the index attribute of a snapshot's directory again: its keys have changed. */
void snapshot_refresh_index(struct snapshot *snapshot);
/* That of all which need it: markers or key records have gone. */
void snapshots_refresh_index(struct store *store);
/* Does it say what it has to?  1; 0: no; -ENODATA, -EOPNOTSUPP: it is not there.  FD: the snapshot's directory. */
MUST_CHECK int snapshot_check_index(struct snapshot *snapshot, int fd);

/* Canonical Encryption Key IDs that a snapshot depends on (own DEK and needed-by markers), without asking any key service. */
MUST_CHECK int snapshot_key_ids(struct snapshot *snapshot, char ***ret_key_ids, size_t *ret_count);

#endif
