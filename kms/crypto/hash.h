/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256.  Holds no keys: anybody may use it. */
#ifndef SNAPCRYPT_KMS_CRYPTO_HASH_H
#define SNAPCRYPT_KMS_CRYPTO_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"

#define SHA256_SIZE 32

/* -ENOMEM, -EIO. */
MUST_CHECK int sha256(struct bytes data, uint8_t digest[static SHA256_SIZE]);

/* A hash that is fed piece by piece.  One thread at a time. */
struct hash;

MUST_CHECK int hash_new(struct hash **ret_hash);
MUST_CHECK int hash_update(struct hash *hash, struct bytes data);

/* The digest of everything so far; the hash begins anew. */
MUST_CHECK int hash_final(struct hash *hash, uint8_t digest[static SHA256_SIZE]);

/* Accepts NULL. */
void hash_free(struct hash *hash);
void hash_cleanup(struct hash **hash);

#endif
