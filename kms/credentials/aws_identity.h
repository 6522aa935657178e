/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who this host is to AWS: keys of the section, or the vendor's chain (environment, profiles with roles, web identity,
 * credential command, container, instance), and a role assumed on top.  Cached, and refreshed ahead of expiry.
 */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_AWS_IDENTITY_H
#define SNAPCRYPT_KMS_CREDENTIALS_AWS_IDENTITY_H

#include "kms/credentials/aws_request.h"
#include "kms/provider.h"

/* Thread-safe. */
struct aws_identity;

/*
 *   config    the section; copied
 *   profile   of the URI or the section, or NULL: AWS_PROFILE, else "default"
 *   region    whose STS is asked
 *   is_fips   its FIPS endpoint, unless another address is configured
 *   offset_s  clock offset shared with the caller; outlives this
 *
 * No network.  -EINVAL with a text.
 */
struct aws_identity_options {
	const struct kms_config *config;
	const char *profile;
	const char *region;
	bool is_fips;
	atomic_llong *offset_s;
};

MUST_CHECK int aws_identity_open(const struct aws_identity_options *options,
				 struct aws_identity **ret_identity, struct kms_error *reterr);

/* Accepts NULL. */
void aws_identity_close(struct aws_identity *identity);

/*
 * Keys that are valid now; aws_keys_put().
 *
 *   rejected  keys that the service refused: they are not returned again unless that is all there is.  NULL: none
 *
 * -EKEYEXPIRED in state credentials-expired; -EHOSTUNREACH and the like when a source cannot be reached.
 */
MUST_CHECK int aws_identity_keys(struct aws_identity *identity, const struct kms_call *call,
				 const struct aws_keys *rejected, struct aws_keys **ret_keys,
				 struct kms_error *reterr);

#endif
