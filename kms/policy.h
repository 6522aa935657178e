/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest policy that a service must grant to this host. */
#ifndef SNAPCRYPT_KMS_POLICY_H
#define SNAPCRYPT_KMS_POLICY_H

#include <stdbool.h>

#include "kms/provider.h"
#include "meta/macros.h"

/*
 * Text in the service's own language, to be copied.
 *
 *   ret_text   free() it
 *
 * -ENOTSUP: this service has no policies.  -EINVAL: the URI.  No network.
 */
MUST_CHECK int kms_policy(const struct kms_config *config, enum kms_use use, char **ret_text,
			  struct kms_error *reterr);

#endif
