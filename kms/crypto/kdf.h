/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HKDF (RFC 5869) and HMAC, both with SHA-256.  Thread-safe.  Only kms/ may include this.
 *
 * Inputs may come in parts, which are joined.  Outputs that are keys go to secret memory.
 */
#ifndef SNAPCRYPT_KMS_CRYPTO_KDF_H
#define SNAPCRYPT_KMS_CRYPTO_KDF_H

#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"

#define HMAC_SIZE      32
#define KDF_OUTPUT_MAX ((size_t)255 * HMAC_SIZE)

/* -ENOMEM, -EIO; MAC is zeroed then. */
MUST_CHECK int hmac_sha256(struct bytes key, const struct bytes *parts, size_t part_count,
			   uint8_t mac[static HMAC_SIZE]);

/* HKDF-Extract: PRK = HMAC(salt, ikm). */
MUST_CHECK int kdf_extract(struct bytes salt, struct bytes ikm, uint8_t prk[static HMAC_SIZE]);

/* Where derived bytes go; at most KDF_OUTPUT_MAX of them. */
struct kdf_output {
	uint8_t *data;
	size_t size;
};

/* HKDF-Expand with INFO in parts.  -EINVAL: too much asked. */
MUST_CHECK int kdf_expand(struct bytes prk, const struct bytes *info, size_t info_count,
			  struct kdf_output output);

/* Extract and expand. */
MUST_CHECK int kdf_extract_expand(struct bytes salt, struct bytes ikm, struct bytes info,
				  struct kdf_output output);

#endif
