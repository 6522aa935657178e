/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The capsule of a slot: a DEK under the slot secret (meta/FORMAT.md, "Wrapping").  Only kms/
 * may include this.
 */
#ifndef SNAPCRYPT_KMS_CRYPTO_CAPSULE_H
#define SNAPCRYPT_KMS_CRYPTO_CAPSULE_H

#include <stddef.h>
#include <stdint.h>

#include "kms/crypto/dek.h"
#include "meta/bytes.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define CAPSULE_SIZE        48
#define CAPSULE_SECRET_SIZE 32

/*
 * Put a DEK into a capsule.
 *
 *   slot_secret   CAPSULE_SECRET_SIZE bytes, drawn for this slot alone
 *   slot_header   its exact text, as stored
 */
MUST_CHECK int capsule_seal(const struct dek *dek, struct bytes slot_secret,
			    struct bytes slot_header, uint8_t capsule[static CAPSULE_SIZE]);

/* Which DEK a capsule is said to hold. */
struct capsule_owner {
	struct uuid volume;
	struct uuid dek;
};

/*
 * Take it out.  -EKEYREJECTED: another secret, another header, or a changed capsule.  Checking the
 * commitment is the caller's.
 */
MUST_CHECK int capsule_open(struct bytes slot_secret, struct bytes slot_header,
			    const uint8_t capsule[static CAPSULE_SIZE],
			    const struct capsule_owner *owner, struct dek **ret_dek);

#endif
