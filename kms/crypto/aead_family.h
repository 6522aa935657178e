/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are revoked together: the file keys of one DEK. */
#ifndef SNAPCRYPT_KMS_CRYPTO_AEAD_FAMILY_H
#define SNAPCRYPT_KMS_CRYPTO_AEAD_FAMILY_H

#include "kms/crypto/aead.h"

/* Counted: its maker and every key in it hold it.  Thread-safe. */
struct aead_family;

/* -ENOMEM. */
MUST_CHECK int aead_family_new(struct aead_family **ret_family);
void aead_family_free(struct aead_family *family);

/* Like aead_key_import(), into a family.  Fails like the family's other keys once it is revoked. */
MUST_CHECK int aead_family_import(struct aead_family *family, enum aead_algorithm algorithm,
				  struct bytes key_bytes, struct aead_key **ret_key);

/*
 * Make every operation of every key of the family, now and later, fail with ERROR (negative); wait
 * for those that run; wipe.  Returns when no key bytes and no key schedules of the family are left.
 */
void aead_family_revoke(struct aead_family *family, int error);

#endif
