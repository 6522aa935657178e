/* SPDX-License-Identifier: Apache-2.0 */
/* ~/.aws/config and ~/.aws/credentials, or what AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_AWS_PROFILE_H
#define SNAPCRYPT_KMS_CREDENTIALS_AWS_PROFILE_H

#include <stdbool.h>

#include "kms/error.h"
#include "meta/bytes.h"
#include "meta/macros.h"

enum aws_file { AWS_FILE_CREDENTIALS, AWS_FILE_CONFIG, AWS_FILE_COUNT };

/* Both files as they were when read, in secret memory. */
struct aws_profiles;

/* A file that is not there is empty. */
MUST_CHECK int aws_profiles_load(struct aws_profiles **ret_profiles, struct kms_error *reterr);

/* The same from texts; for aws_profiles_load() and tests.  -EINVAL: too many settings. */
MUST_CHECK int aws_profiles_parse(const struct bytes texts[static AWS_FILE_COUNT],
				  struct aws_profiles **ret_profiles);

/* Accepts NULL. */
void aws_profiles_free(struct aws_profiles *profiles);
void aws_profiles_cleanup(struct aws_profiles **profiles);

bool aws_profiles_has(const struct aws_profiles *profiles, const char *profile);

/* Borrowed; NULL: not set. */
const char *aws_profiles_get_from(const struct aws_profiles *profiles, enum aws_file file,
				  const char *profile, const char *name);

/* From the credentials file, else from the configuration file. */
const char *aws_profiles_get(const struct aws_profiles *profiles, const char *profile,
			     const char *name);

/* AWS_PROFILE, or NULL. */
const char *aws_profile_from_environment(void);

#endif
