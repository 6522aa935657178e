/* SPDX-License-Identifier: Apache-2.0 */
/* A key from a passphrase: scrypt (RFC 7914).  Only kms/ may include this. */
#ifndef SNAPCRYPT_KMS_CRYPTO_PASSPHRASE_H
#define SNAPCRYPT_KMS_CRYPTO_PASSPHRASE_H

#include <stdint.h>

#include "kms/crypto/secret.h"
#include "meta/macros.h"

#define PASSPHRASE_SALT_SIZE 16

/* Cost: 128 * n * r bytes of memory, p times. */
struct passphrase_cost {
	uint64_t n;
	uint32_t r;
	uint32_t p;
};

/* What new files get: 32 MiB, about a tenth of a second. */
#define PASSPHRASE_COST_DEFAULT ((struct passphrase_cost){ .n = 32768, .r = 8, .p = 1 })

/* 32 bytes.  -EINVAL: a cost out of bounds (at most 1 GiB).  -ENOMEM. */
MUST_CHECK int passphrase_derive(const struct secret *passphrase,
				 const uint8_t salt[static PASSPHRASE_SALT_SIZE],
				 const struct passphrase_cost *cost, struct secret **ret_key);

#endif
