/* SPDX-License-Identifier: Apache-2.0 */
/* A password that some library wants as text; never a key.  Where it comes from: meta/NAMES.md, "Secrets". */
#ifndef SNAPCRYPT_KMS_PASSWORD_H
#define SNAPCRYPT_KMS_PASSWORD_H

#include "kms/error.h"
#include "kms/provider.h"
#include "meta/macros.h"

/*
 * Read the secret NAME as the settings of CONFIG say.  RET_PASSWORD: password_free().
 * -ENOENT: none is configured.  After kms_open(), which locks the memory that secrets are read into.
 */
MUST_CHECK int password_read(const struct kms_config *config, const char *name, char **ret_password,
			     struct kms_error *reterr);

/* Wipes it; accepts NULL. */
void password_free(char *password);

#endif
