/* SPDX-License-Identifier: Apache-2.0 */
/* An opened volume, for store*.c, snapshot*.c and volume_init.c only. */
#ifndef SNAPCRYPT_FS_STORE_STORE_INTERNAL_H
#define SNAPCRYPT_FS_STORE_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#include "fs/store/control.h"
#include "fs/store/store.h"

struct dek_index;
struct identity_index;
struct snapshot;

/* What is known of a DEK while the volume is open. */
struct dek_note {
	struct uuid id;
	struct uuid snapshot;
	uint8_t commitment[DEK_COMMITMENT_SIZE];
	bool is_origin_trusted; /* signature of the record that opened it */
	bool may_write;         /* decided: trusted */
	bool is_refused;        /* decided and reported: not trusted */
	int write_refusal;      /* store_refuse_writes() */
	UT_hash_handle hh;
};

/* A DEK or a snapshot that a seal record covers. */
struct sealed_id {
	struct uuid id;
	unsigned seal_count;
	UT_hash_handle hh;
};

/* One seal of the chain.  IS_DELETED: a trusted tombstone names it. */
struct seal_note {
	uint64_t sequence;
	struct uuid snapshot;
	struct uuid *deks; /* owned */
	size_t dek_count;
	bool is_deleted;
	bool is_trusted;
	uint8_t root[KNOWN_SEAL_ROOT_SIZE];
};

/* What is being sealed now: refuses changes as if it were. */
struct frozen {
	bool is_frozen;
	struct uuid snapshot;
	struct uuid *deks; /* owned */
	size_t dek_count;
};

struct store {
	int root_fd;
	int control_fd;
	int lock_fd; /* -1: read-only */
	bool is_writable;
	bool can_block;
	bool is_write_only;
	struct trust *trust;
	struct kms *kms;
	struct volume_record volume; /* the settings that count */
	struct layout layout;
	struct uuid mount_id;
	struct uuid dead_mount_id; /* the lease that was left when this one was taken; zero: none */
	struct dek_ring *deks;
	unsigned spare_keys;
	struct journal *journal;
	struct recovery *recovery;
	void (*report)(void *arg, int priority, const char *path, const char *text);
	void *report_arg;

	pthread_mutex_t mutex; /* guards what follows */
	char default_key[KEY_ID_SIZE];
	struct volume_record current; /* as published since; generation 0: nothing was */
	struct dek_note *notes;
	struct sealed_id *sealed_deks;
	struct sealed_id *sealed_snapshots;
	struct seal_note *seals; /* oldest first */
	size_t seal_count;
	struct known_seal *known_seals; /* that this host had seen when the volume was opened */
	size_t known_seal_count;
	struct frozen frozen;
	uint64_t seal_sequence;     /* highest seen */
	struct snapshot *snapshots; /* the cache; snapshot.c */
	struct snapshot *root;
	struct identity_index *identities;

	pthread_mutex_t watch_mutex; /* guards the four below; held while WATCH is called */
	void (*watch)(void *arg, const struct uuid *dek_id, enum store_key_event event);
	void *watch_arg;
	struct uuid strayed_dek; /* the first that an alternate opened; zero: none */
	int64_t strayed_s;       /* when that was reported last */

	atomic_uint adoptions; /* snapshot_adoptions() */

	pthread_mutex_t
		removal_mutex; /* one deletion, sweep or change of the plaintext list at a time */
	pthread_rwlock_t creation_lock; /* read: a key record is made that nothing names yet */

	pthread_mutex_t index_mutex; /* guards dek_index; taken before `mutex` */
	struct dek_index *dek_index;
};

/* ---- store_lock.c ------------------------------------------------------------------------------------------------ */

/* Who holds the volume, as the lock file says. */
struct lease {
	struct uuid mount;
	struct uuid boot;
	char host[VOLUME_HOST_SIZE];
	long pid;
};
/* -EWOULDBLOCK: another writer; RETERR names it. */
MUST_CHECK int store_lock(struct store *store, bool replaces_lease, struct store_error *reterr);
/* Leave the lease standing unless the end is clean. */
void store_unlock(struct store *store, bool is_clean);
/* The mount that holds the volume now; zero if none. */
void store_live_mount(struct store *store, struct uuid *ret_mount);

/* ---- store_settings.c -------------------------------------------------------------------------------------------- */

/* Decide the settings that count, pin what is newly trusted; fills store->volume. */
MUST_CHECK int store_decide_settings(struct store *store, const struct store_options *options,
				     struct store_error *reterr);
MUST_CHECK int store_open_control(int backing_fd, int *ret_fd, struct store_error *reterr);

/* ---- store_keys.c ------------------------------------------------------------------------------------------------ */

MUST_CHECK int store_start_keys(struct store *store, unsigned spare_keys);
void store_stop_keys(struct store *store);
/* Have data keys made ahead under the key that is the default now; those under another one are wiped. */
MUST_CHECK int store_keep_spares(struct store *store);
/* A new DEK under the default key: for SNAPSHOT, or (NULL) for a new one.  -EAGAIN with the ticket as wanted DEK. */
MUST_CHECK int store_take_dek(struct store *store, const struct uuid *snapshot,
			      struct key_record *ret_record, struct dek **ret_dek);
/* Make a DEK from store_take_dek() usable: key record durable, pinned, inserted into the ring. */
MUST_CHECK int store_publish_new_dek(struct store *store, struct key_record *record,
				     struct dek *dek);
/* Tell who watches the keys; false: nobody does. */
bool store_tell_key(struct store *store, const struct uuid *dek_id, enum store_key_event event);
/* A key thread's: an alternate opened a DEK, or (SLOT NULL) its primary has said no since. */
void store_key_strayed(void *arg, const struct uuid *dek_id, const struct slot *slot,
		       const struct kms_error *primary);
/* Remember which DEK this thread waits for. */
int store_want(const struct uuid *dek_id);
/* The snapshot that the key record of an open DEK names.  false: not known. */
bool store_dek_snapshot(struct store *store, const struct uuid *dek_id, struct uuid *ret_snapshot);

/* keys/<dek> */
void key_directory(const struct uuid *dek_id, char name[static CONTROL_NAME_SIZE]);
/* Remember what a DEK's record says, for those who ask later whether it may be written under. */
MUST_CHECK int store_take_note(struct store *store, const struct key_record *record,
			       bool is_trusted);
/* -EACCES: this host does not write under DEK. */
MUST_CHECK int store_check_trust(struct store *store, const struct dek *dek);

/* ---- store_seals.c ----------------------------------------------------------------------------------------------- */

MUST_CHECK int store_load_seals(struct store *store, struct store_error *reterr);
void store_free_seals(struct store *store);
/* Is the snapshot being sealed? */
bool store_snapshot_is_frozen(struct store *store, const struct uuid *snapshot);

/* ---- snapshot*.c ------------------------------------------------------------------------------------------------- */

MUST_CHECK int store_open_root_snapshot(struct store *store, struct store_error *reterr);
void store_free_snapshots(struct store *store);
/* Remove the marks of snapshots that this mount wrote to: all is on storage. */
void store_clear_marks(struct store *store);

#endif
