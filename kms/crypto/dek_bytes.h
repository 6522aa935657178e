/* SPDX-License-Identifier: Apache-2.0 */
/* How the bytes of a DEK come and go.  Only kms/ and tests may include this. */
#ifndef SNAPCRYPT_KMS_CRYPTO_DEK_BYTES_H
#define SNAPCRYPT_KMS_CRYPTO_DEK_BYTES_H

#include "kms/crypto/dek.h"
#include "kms/crypto/secret.h"
#include "meta/bytes.h"
#include "meta/macros.h"
#include "meta/uuid.h"

/* Make a DEK of DEK_SIZE bytes, which are copied.  -EINVAL: another size.  -ENOMEM, -EIO. */
MUST_CHECK int dek_import(struct bytes key_bytes, const struct uuid *volume, const struct uuid *id,
			  struct dek **ret_dek);

/* A copy of the bytes.  -ENOMEM, or the error of revocation. */
MUST_CHECK int dek_export(const struct dek *dek, struct secret **ret_secret);

#endif
