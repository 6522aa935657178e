/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes. */
#ifndef SNAPCRYPT_KMS_CRYPTO_RANDOM_H
#define SNAPCRYPT_KMS_CRYPTO_RANDOM_H

#include <stddef.h>

#include "meta/macros.h"
#include "meta/uuid.h"

/* Fill DATA from the kernel's generator.  0 or -EIO, DATA zeroed then.  Thread-safe. */
MUST_CHECK int random_fill(void *data, size_t size);

/* A random (version 4) UUID.  -EIO. */
MUST_CHECK int random_uuid(struct uuid *ret_uuid);

#endif
