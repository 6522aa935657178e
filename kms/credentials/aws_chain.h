/* SPDX-License-Identifier: Apache-2.0 */
/* The sources of AWS credentials, in the order in which the vendor's tools ask them. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_AWS_CHAIN_H
#define SNAPCRYPT_KMS_CREDENTIALS_AWS_CHAIN_H

#include "kms/credentials/aws_profile.h"
#include "kms/credentials/aws_sts.h"
#include "kms/provider.h"

/*
 *   config    settings access_key_id, secret_access_key, session_token, auth
 *   profile   chosen by configuration or URI, or NULL: as the environment says
 */
struct aws_chain {
	const struct kms_config *config;
	const char *profile;
	struct aws_sts sts;
};

/* Is `auth` of the configuration a source that we know?  -EINVAL. */
MUST_CHECK int aws_chain_check(const struct kms_config *config, struct kms_error *reterr);

/* Ask them now, cached nowhere.  Errors as aws_identity_keys(). */
MUST_CHECK int aws_chain_keys(const struct aws_chain *chain, const struct kms_call *call,
			      struct aws_keys **ret_keys, struct kms_error *reterr);

#endif
