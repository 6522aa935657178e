/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is no secret: public keys, CA bundles, tokens' audiences. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_PUBLIC_FILE_H
#define SNAPCRYPT_KMS_CREDENTIALS_PUBLIC_FILE_H

#include "kms/error.h"
#include "meta/macros.h"

#define PUBLIC_FILE_MAX 65536

/* The whole text with a NUL; free() it.  -EFBIG over PUBLIC_FILE_MAX. */
MUST_CHECK int public_file_read(const char *path, char **ret_text, struct kms_error *reterr);

#endif
