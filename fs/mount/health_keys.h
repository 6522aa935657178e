/* SPDX-License-Identifier: Apache-2.0 */
/* Which KEKs a mount depends on, and which DEKs are under each. */
#ifndef SNAPCRYPT_FS_MOUNT_HEALTH_KEYS_H
#define SNAPCRYPT_FS_MOUNT_HEALTH_KEYS_H

#include <pthread.h>

#include "fs/mount/mount.h"
#include "meta/records/key_record.h"

/* KEY_STATE_UNKNOWN: in use; else what was said when it was withdrawn. */
struct watched_dek {
	struct uuid id;
	enum key_state withdrawn_as;
};

/*
 * One KEK in one version.
 *
 *   record      one under it, of which the primary slot is what is asked about
 *   has_spares  data keys are made ahead under it
 *   is_untold   the state was learned otherwise than by asking, and nobody was told yet
 *   withdrawn_as, spares_withdrawn_as   as of a DEK: what is to be, and what is done with the spares
 */
struct watched_kek {
	struct watched_kek *next;
	struct key_record record;
	struct mount_key_status status;
	struct watched_dek *deks;
	size_t dek_count;
	bool has_spares;
	bool is_untold;
	enum key_state withdrawn_as;
	enum key_state spares_withdrawn_as;
	int64_t silent_since_ms;   /* 0: it answers */
	int64_t rotation_asked_ms; /* 0: never */
};

/*
 * The list grows at its head and never shrinks.  LOCK guards it, the DEKs and each status; only the health thread moves DEKs and
 * replaces records, so that it may read those without the lock.
 */
struct health_keys {
	pthread_mutex_t lock;
	struct watched_kek *keks;
	bool is_recovered; /* the recovery key opens everything: what primaries say is not asked */
};

/* Add what was opened or made since.  Any thread, without the lock. */
void health_keys_learn(struct health_keys *keys, struct store *store);

/* Read the key records again: a rewrap brings a DEK under another KEK.  The health thread only. */
void health_keys_reread(struct health_keys *keys, struct store *store);

/* Does anything depend on it? */
bool health_kek_is_in_use(const struct watched_kek *kek);

void health_keys_free(struct health_keys *keys);

#endif
