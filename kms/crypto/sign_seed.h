/* SPDX-License-Identifier: Apache-2.0 */
/* The secret of a signing key; for sign*.c only. */
#ifndef SNAPCRYPT_KMS_CRYPTO_SIGN_SEED_H
#define SNAPCRYPT_KMS_CRYPTO_SIGN_SEED_H

#include "kms/crypto/sign.h"
#include "meta/bytes.h"

#define SIGN_SEED_SIZE 32

/* Secret memory, valid as long as KEY. */
struct bytes sign_key_seed(const struct sign_key *key);

#endif
