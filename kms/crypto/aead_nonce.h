/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing with a nonce that the caller names: for capsules, whose key is used once, and for tests.
 */
#ifndef SNAPCRYPT_KMS_CRYPTO_AEAD_NONCE_H
#define SNAPCRYPT_KMS_CRYPTO_AEAD_NONCE_H

#include "kms/crypto/aead.h"

/* Like aead_seal().  Two messages under one key and nonce give both away. */
MUST_CHECK int aead_seal_with_nonce(const struct aead_key *key,
				    const uint8_t nonce[static AEAD_NONCE_SIZE], struct bytes aad,
				    struct bytes plain, uint8_t *sealed);

#endif
