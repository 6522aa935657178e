/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a secret comes from: a checked file, $CREDENTIALS_DIRECTORY, a command, the environment.  Never argv, never a URI,
 * never the configuration itself (meta/NAMES.md, "Secrets").
 */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_SECRET_SOURCE_H
#define SNAPCRYPT_KMS_CREDENTIALS_SECRET_SOURCE_H

#include "kms/crypto/secret.h"
#include "kms/provider.h"
#include "meta/macros.h"

#define SECRET_SOURCE_MAX 65536

/*
 * Read the secret NAME as NAME_file, NAME_credential, NAME_command or NAME_env of CONFIG says; read anew at every call, since
 * files are replaced.  One trailing newline is dropped.
 *
 * -ENOENT: none is configured (reterr untouched).  -EPERM: a file that others may read.  -EINVAL: more than one source.
 */
MUST_CHECK int secret_source_read(const struct kms_config *config, const char *name,
				  struct secret **ret_secret, struct kms_error *reterr);

/* A file with mode 0600 or stricter, owned by this user or root; no symlink.  At most SECRET_SOURCE_MAX bytes. */
MUST_CHECK int secret_source_file(const char *path, struct secret **ret_secret,
				  struct kms_error *reterr);

/* An environment variable.  -ENOENT: unset or empty. */
MUST_CHECK int secret_source_environment(const char *name, struct secret **ret_secret);

#endif
