/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that the rest of snapcrypt knows about keys: KEKs that may be contacted, and making, opening and rewrapping DEKs.
 * Key bytes never leave kms/; struct dek (kms/crypto/dek.h) is a handle.
 */
#ifndef SNAPCRYPT_KMS_KMS_H
#define SNAPCRYPT_KMS_KMS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kms/audit.h"
#include "kms/crypto/dek.h"
#include "kms/error.h"
#include "kms/provider.h"
#include "meta/macros.h"
#include "meta/records/key_record.h"
#include "meta/records/volume_record.h"

/* The KEKs of this process.  Thread-safe. */
struct kms;

struct kms_options {
	uint32_t key_timeout_ms; /* deadline of one operation with all its retries; default 10000 */
	uint32_t hedge_after_ms; /* alternates are asked when the primary is silent so long; default 2000 */
	const char *const
		*slot_order; /* alternates in this order, as URIs or section names; borrowed */
	size_t slot_order_count;
	bool is_write_only;       /* role = write-only: never unwrap */
	const char *recovery_key; /* --recovery-key FILE, or NULL */
	/*
	 * What this host remembers of keys, NULL: nothing.  remembered(): the confirmed definite no of KEY_ID and since when, or
	 * KEY_STATE_UNKNOWN; no other slot opens then while the primary cannot be asked.  said_yes(): KEY_ID is enabled now.
	 */
	enum key_state (*remembered)(void *arg, const char *key_id, int64_t *ret_since_s);
	void (*said_yes)(void *arg, const char *key_id);
	void *memory_arg;
	struct audit *audit; /* borrowed; NULL: nothing is written down */
};

/* Lock secret memory and start.  Before any thread.  -ENOMEM with advice about RLIMIT_MEMLOCK. */
MUST_CHECK int kms_open(const struct kms_options *options, struct kms **ret_kms,
			struct kms_error *reterr);
void kms_close(struct kms *kms);

/* Give up what is being asked, for good: it and all that is asked later ends with -EINTR, at once.  For the end of a mount. */
void kms_cancel(struct kms *kms);

/*
 * Allow a KEK to be contacted.  Endpoints come only from configuration, environment, --key or host state, so this is the
 * only door.  Adding one twice is harmless; one URI with several sections is several KEKs, of which the first makes new slots and
 * the one that fits best is asked about a stored slot.  No network.
 */
MUST_CHECK int kms_add_key(struct kms *kms, const struct kms_config *config,
			   struct kms_error *reterr);

/* Was a recovery key named?  Then it opens everything, and no primary is asked. */
bool kms_has_recovery_key(const struct kms *kms);

/* Does any allowed KEK open this slot? */
bool kms_can_reach(struct kms *kms, const struct slot *slot);

/*
 * Write down what others do with keys: replaced slots, revocations.  Wraps, unwraps, failed probes and uses of a recovery key are
 * written here already.  A negative errno: it must not be done (audit_append()).
 */
MUST_CHECK int kms_audit(struct kms *kms, const struct audit_entry *entry);

/* State and canonical id of an allowed KEK. */
MUST_CHECK int kms_describe(struct kms *kms, const char *uri, struct kms_key_info *ret_info,
			    struct kms_error *reterr);

/* The same of the KEK that would be asked to unwrap SLOT. */
MUST_CHECK int kms_describe_slot(struct kms *kms, const struct slot *slot,
				 struct kms_key_info *ret_info, struct kms_error *reterr);

/* Wrap, unwrap and compare a throw-away secret: may this host use URI?  With is_write_only: wrap only. */
MUST_CHECK int kms_test_key(struct kms *kms, const char *uri, struct kms_key_info *ret_info,
			    struct kms_error *reterr);

/* The same with another deadline for each request; 0: as configured. */
MUST_CHECK int kms_test_key_within(struct kms *kms, const char *uri, uint32_t timeout_ms,
				   struct kms_key_info *ret_info, struct kms_error *reterr);

/* Milliseconds that a primary may stay silent. */
uint32_t kms_hedge_after_ms(const struct kms *kms);

/* What is worth saying about credentials that were used (static user keys where roles are better), or NULL.  A constant. */
const char *kms_notice(struct kms *kms);

/*
 * What a new DEK is for and who may open it.  Borrowed for the call, copied by those who keep it.
 *
 *   uri            KEK of the primary slot; already added
 *   alternates     KEKs of one alternate slot each; already added
 *   context        snapshot zero: an id for it is drawn
 *   recovery_keys  one recovery slot each; a public key is all that wrapping needs
 *   timeout_ms     deadline of each request to a key service; 0: as configured
 */
struct dek_request {
	const char *uri;
	const char *const *alternates;
	size_t alternate_count;
	struct wrap_context context;
	uint32_t timeout_ms;
	const struct recovery_key *recovery_keys;
	size_t recovery_key_count;
};

/*
 * Make a DEK.
 *
 *   record   filled but for generation, created, period_start, MAC and the signature; key_record_free()
 */
MUST_CHECK int kms_create_dek(struct kms *kms, const struct dek_request *request,
			      struct key_record *ret_record, struct dek **ret_dek,
			      struct kms_error *reterr);

/* Compute the MAC of a record whose members were changed. */
MUST_CHECK int kms_authenticate_record(const struct dek *dek, struct key_record *record);

/*
 * Open a DEK: the primary decides; alternates only while it is unreachable, which it is also while it has not answered within
 * hedge_after; commitment and slot-table MAC checked.
 *
 *   ret_slot_index   which slot opened it; may be NULL
 *   reterr           where an alternate opened it, also filled: why the primary did not
 *
 * Blocks up to the deadline.  -EKEYREVOKED, -ENOKEY, -EACCES, -EKEYEXPIRED, -EHOSTUNREACH, -ETIMEDOUT,
 * -EKEYREJECTED (a slot or table that is not genuine), -ENOKEY in state unknown: no allowed KEK owns the primary slot (advice names --key).
 */
MUST_CHECK int kms_unwrap_dek(struct kms *kms, const struct key_record *record,
			      struct dek **ret_dek, size_t *ret_slot_index,
			      struct kms_error *reterr);

/*
 * Open a DEK with the recovery key in a PEM file, whatever its other slots are.  -ENOKEY: it has no slot of that key.
 */
MUST_CHECK int kms_recover_dek(struct kms *kms, const char *recovery_key,
			       const struct key_record *record, struct dek **ret_dek,
			       struct kms_error *reterr);

/*
 * Hear of a definite no that a primary gave after an alternate had opened the DEK.  Called on a thread of its own; NULL: no more,
 * and none is under way when this returns.
 */
void kms_listen(struct kms *kms,
		void (*listener)(void *arg, const struct uuid *dek_id, const struct kms_error *no),
		void *arg);

/*
 * Is the primary slot of RECORD still allowed to open?  With is_write_only: may its KEK still wrap?  For the health poll.
 *
 *   is_cancelled   set by another thread to give up, -EINTR; may be NULL
 */
MUST_CHECK int kms_probe(struct kms *kms, const struct key_record *record,
			 const atomic_bool *is_cancelled, struct kms_error *reterr);

/*
 * Add a slot in a role other than primary to the record of an open DEK, or put another in the place of the one at INDEX, in its
 * role: RECORD becomes the next generation, with its MAC.  The new slot is unwrapped and checked before this returns, unless it is
 * a recovery slot.
 */
MUST_CHECK int kms_add_slot(struct kms *kms, const struct dek *dek, const char *uri,
			    enum slot_role role, struct key_record *record,
			    struct kms_error *reterr);
MUST_CHECK int kms_rewrap_slot(struct kms *kms, const struct dek *dek, const char *uri,
			       size_t index, struct key_record *record, struct kms_error *reterr);

/* Is RECORD, as read from storage, a record of an open DEK: commitment and MAC?  -EKEYREJECTED. */
MUST_CHECK int kms_check_record(const struct dek *dek, const struct key_record *record);

/* Does the slot at INDEX open RECORD, as read from storage?  Asks its KEK and nobody else. */
MUST_CHECK int kms_check_slot(struct kms *kms, const struct key_record *record, size_t index,
			      struct kms_error *reterr);

#endif
