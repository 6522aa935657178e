/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DEKs that a process has open, and the thread that opens them.
 *
 * A file operation must not wait for a key service.  dek_ring_try() answers from memory; when the DEK is not there yet it
 * starts one unwrap for all who ask (single flight) and returns -EAGAIN; dek_ring_wait() calls back when there is an
 * outcome.  Failures are remembered for 5 s, so that a scan of a snapshot with a disabled key asks once, not per file.
 *
 * Making a DEK asks the service too, so it works the same way: dek_ring_take().
 */
#ifndef SNAPCRYPT_KMS_DEK_RING_H
#define SNAPCRYPT_KMS_DEK_RING_H

#include "kms/kms.h"

struct dek_ring;

struct dek_ring_options {
	struct kms *kms;
	/* Read the key record that counts for a DEK.  Called on key threads.  -ENOENT: there is none. */
	int (*load)(void *arg, const struct uuid *dek_id, struct key_record *ret_record,
		    struct kms_error *reterr);
	/* A DEK has become available; called on a key thread before anybody gets it (journal replay).  May be NULL. */
	int (*opened)(void *arg, struct dek *dek);
	/*
	 * An alternate slot opened a DEK, because its primary is unreachable as PRIMARY says; or, with SLOT NULL, the primary of
	 * such a DEK has said no since, and the DEK is to be withdrawn.  Called on key threads.  May be NULL: then it is
	 * withdrawn here.
	 */
	void (*strayed)(void *arg, const struct uuid *dek_id, const struct slot *slot,
			const struct kms_error *primary);
	void *arg;
	uint32_t failure_ttl_ms; /* default 5000 */
};

MUST_CHECK int dek_ring_create(const struct dek_ring_options *options, struct dek_ring **ret_ring);

/* Wipes every DEK.  Waiters are called back with -ESHUTDOWN. */
void dek_ring_free(struct dek_ring *ring);

/* 0 and a reference; -EAGAIN: being opened, use dek_ring_wait(); or the remembered failure.  Never blocks. */
MUST_CHECK int dek_ring_try(struct dek_ring *ring, const struct uuid *dek_id, struct dek **ret_dek);

/* Call READY(arg, outcome) once when there is an outcome, on a key thread or, if there is one already, at once. */
void dek_ring_wait(struct dek_ring *ring, const struct uuid *dek_id,
		   void (*ready)(void *arg, int outcome), void *arg);

/* Blocking form for commands.  On success RETERR says, if an alternate slot opened it, why the primary did not. */
MUST_CHECK int dek_ring_get(struct dek_ring *ring, const struct uuid *dek_id, struct dek **ret_dek,
			    struct kms_error *reterr);

/* Is a DEK open because an alternate slot opened it?  PRIMARY: why its primary did not; may be NULL. */
bool dek_ring_has_strayed(struct dek_ring *ring, const struct uuid *dek_id,
			  struct kms_error *ret_primary);

/* The last failure for a DEK, for messages.  false: none remembered. */
bool dek_ring_failure(struct dek_ring *ring, const struct uuid *dek_id,
		      struct kms_error *ret_error);

/*
 * DEKs that are made rather than opened.  Making one is a key-service call as well, so it is asked for and waited for in
 * the same way: the ring keeps the request under a TICKET, an id that dek_ring_wait() and dek_ring_failure() take like that
 * of a DEK.  The ticket is the snapshot's id where the DEK is for an existing one (root, streams), and the volume's id where
 * it is for the next new snapshot: request->context.snapshot is zero then, and the ring draws the snapshot's id with the DEK
 * (record.snapshot).  What is made and not yet taken waits in memory; it is no part of dek_ring_list().
 *
 * dek_ring_take(): 0 and one that nobody else gets; -EAGAIN: being made, use dek_ring_wait(TICKET); or the remembered
 * failure.  Never blocks.  ret_record is as kms_create_dek() fills it.  The caller stores the record, then calls
 * dek_ring_insert().
 */
MUST_CHECK int dek_ring_take(struct dek_ring *ring, const struct uuid *ticket,
			     const struct dek_request *request, struct key_record *ret_record,
			     struct dek **ret_dek);

/* Blocking form for commands. */
MUST_CHECK int dek_ring_take_blocking(struct dek_ring *ring, const struct uuid *ticket,
				      const struct dek_request *request,
				      struct key_record *ret_record, struct dek **ret_dek,
				      struct kms_error *reterr);

/* Keep COUNT made DEKs ready under TICKET from now on, each replaced when it is taken; 0: drop and wipe them (revocation). */
MUST_CHECK int dek_ring_keep_spares(struct dek_ring *ring, const struct uuid *ticket,
				    const struct dek_request *request, unsigned count);

/* A DEK that this process has just made and whose key record is durable. */
MUST_CHECK int dek_ring_insert(struct dek_ring *ring, struct dek *dek);

/* Forget every remembered failure (SIGHUP, keys test). */
void dek_ring_forget_failures(struct dek_ring *ring);

/*
 * Wipe what was made and not taken yet where its primary slot is under KEY_ID; taking gives -ERROR of STATE until
 * dek_ring_restore_made(), or until something under another KEK is asked for.
 */
void dek_ring_revoke_made(struct dek_ring *ring, const char *key_id, enum key_state state);
void dek_ring_restore_made(struct dek_ring *ring, const char *key_id);

/* Wipe one DEK; later use gives -ERROR of STATE until dek_ring_restore(). */
void dek_ring_revoke(struct dek_ring *ring, const struct uuid *dek_id, enum key_state state);
void dek_ring_restore(struct dek_ring *ring, const struct uuid *dek_id);

/* Would what is made next be under KEY_ID, as what was made last? */
bool dek_ring_makes_under(struct dek_ring *ring, const char *key_id);

/*
 * A copy of the key record of something that is made and not taken yet, of the INDEXth ticket that has such; for probing its KEK.
 * false: there are fewer.
 */
bool dek_ring_made_record(struct dek_ring *ring, size_t index, struct key_record *ret_record);

/* Ids of the DEKs that are open now; *ret_count of them, free() the array. */
MUST_CHECK int dek_ring_list(struct dek_ring *ring, struct uuid **ret_ids, size_t *ret_count);

#endif
