/* SPDX-License-Identifier: Apache-2.0 */
/* What kms.c, dek_wrap.c and dek_open.c share. */
#ifndef SNAPCRYPT_KMS_KMS_INTERNAL_H
#define SNAPCRYPT_KMS_KMS_INTERNAL_H

#include <pthread.h>

#include "kms/crypto/secret.h"
#include "kms/guard.h"
#include "kms/kms.h"
#include "kms/metrics_internal.h"

/*
 * One KEK that may be contacted.  Never removed before kms_close().
 *
 *   config         as it was added, to tell apart those with one URI and several credentials
 *   silent_at_ms   when it was last found not to answer; 0: it answers
 */
struct kek {
	const struct kms_provider *provider;
	void *state;
	struct kms_config *config;
	const char *uri;     /* config's */
	const char *section; /* config's, or NULL */
	struct guard guard;
	_Atomic int64_t silent_at_ms;
	struct kek *next;
};

/* kms/dek_hedge.c */
struct opening;

struct kms {
	struct kms_options options;
	pthread_mutex_t lock;
	struct kek *keks;
	struct kek *recovery; /* the private key that was named, or NULL */
	struct metrics metrics;
	atomic_bool is_cancelled;
	unsigned opening_count;   /* threads that ask primaries */
	struct opening *openings; /* dek_hedge.c: those that still need somebody's answer */
	pthread_cond_t openings_ended;
	pthread_mutex_t listener_lock; /* held while the listener is called */
	void (*listener)(void *arg, const struct uuid *dek_id, const struct kms_error *no);
	void *listener_arg;
};

/* One request to a KEK; which members count depends on the operation, as in kms/provider.h. */
struct kek_request {
	enum kms_operation operation;
	const struct wrap_context *context;
	const struct slot *slot;     /* unwrap, probe */
	struct slot *new_slot;       /* generate, wrap */
	const struct secret *secret; /* wrap */
	struct secret **ret_secret;  /* generate, unwrap */
	struct kms_key_info *ret_info;
	const atomic_bool *is_cancelled; /* NULL: only by the end of the process */
	uint32_t timeout_ms; /* 0: as configured; else no longer than it takes to see that nobody is there */
	atomic_bool *
		ret_is_absent; /* becomes true when nobody is there, while it is asked on; NULL: none */
};

/*
 * Ask, and ask again, by the deadline.  ERROR is not NULL; on success it says which request it was, for the audit log.
 */
MUST_CHECK int kek_ask(struct kms *kms, struct kek *kek, const struct kek_request *request,
		       struct kms_error *error);

/* The KEK added under URI.  NULL, with an error: it was not allowed to be contacted. */
struct kek *kek_required(struct kms *kms, const char *uri, struct kms_error *reterr);

/* The KEK that would be asked to unwrap SLOT, or NULL. */
struct kek *kek_of_slot(struct kms *kms, const struct slot *slot);

/*
 * Write down what a request came to.  Returns error->code; a success that cannot be written down, and must be, becomes a failure.
 */
MUST_CHECK int kms_audit_request(struct kms *kms, enum audit_operation operation,
				 const struct slot *slot, struct kms_error *error);

/* The remembered no of the key of SLOT, which cannot be asked because of ERROR: its errno, with a text; 0: none. */
int kms_remembered_no(struct kms *kms, const struct slot *slot, struct kms_error *error);

/* Have the service wrap a throw-away secret for the ids of SLOT. */
MUST_CHECK int kms_try_wrapping(struct kms *kms, struct kek *kek, const struct slot *slot,
				struct kms_error *error);

/* Ask one KEK for one slot's secret, and open the DEK with it. */
MUST_CHECK int kms_open_slot(struct kms *kms, struct kek *kek, const struct key_record *record,
			     const struct slot *slot, struct dek **ret_dek,
			     struct kms_error *reterr);

/* What others do and see while it is asked; both may be NULL.  As in struct kek_request. */
struct asking {
	const atomic_bool *is_cancelled;
	atomic_bool *ret_is_absent;
};
MUST_CHECK int kms_ask_slot(struct kms *kms, struct kek *kek, const struct key_record *record,
			    const struct slot *slot, const struct asking *asking,
			    struct dek **ret_dek, struct kms_error *reterr);

/* A new slot of DEK under KEK; its ids and role are set.  TIMEOUT_MS 0: as configured. */
MUST_CHECK int kms_make_slot(struct kms *kms, struct kek *kek, uint32_t timeout_ms,
			     const struct dek *dek, struct slot *slot, struct kms_error *reterr);

/* ---- dek_hedge.c ------------------------------------------------------------------------------------------------- */

/* Has RECORD alternates that may be contacted? */
bool kms_has_alternates(struct kms *kms, const struct key_record *record);

/* Does this failure of the primary let another slot open?  Expired credentials count as unreachable. */
bool kms_may_use_alternate(int code, const struct kms_error *error);

/* kms_unwrap_dek() for a record with alternates; KEK is the primary's. */
MUST_CHECK int kms_open_hedged(struct kms *kms, struct kek *kek, const struct key_record *record,
			       struct dek **ret_dek, size_t *ret_slot_index,
			       struct kms_error *reterr);

#endif
