/* SPDX-License-Identifier: Apache-2.0 */
/* A kms_config that outlives open(): secrets are read anew from their files whenever credentials are renewed. */
#ifndef SNAPCRYPT_KMS_CONFIG_COPY_H
#define SNAPCRYPT_KMS_CONFIG_COPY_H

#include "kms/provider.h"
#include "meta/macros.h"

/* Settings name where secrets are and hold none.  -ENOMEM. */
MUST_CHECK int kms_config_copy(const struct kms_config *config, struct kms_config **ret_copy);

/* Accepts NULL. */
void kms_config_free(struct kms_config *copy);

#endif
