/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of a key record: what a slot secret opens, and what makes a record believable.  For kms/ only. */
#ifndef SNAPCRYPT_KMS_ENVELOPE_H
#define SNAPCRYPT_KMS_ENVELOPE_H

#include "kms/crypto/dek.h"
#include "kms/crypto/secret.h"
#include "kms/error.h"
#include "meta/macros.h"
#include "meta/records/key_record.h"

/* Give a slot whose secret is wrapped its header and capsule. */
MUST_CHECK int envelope_seal_slot(const struct dek *dek, const struct secret *secret,
				  struct slot *slot);

/*
 * Open the DEK with a slot's secret; commitment and slot-table MAC are checked.
 * -EKEYREJECTED, with a text that says which of them does not hold.
 */
MUST_CHECK int envelope_open(const struct key_record *record, const struct slot *slot,
			     const struct secret *secret, struct dek **ret_dek,
			     struct kms_error *reterr);

#endif
