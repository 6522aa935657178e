/* SPDX-License-Identifier: Apache-2.0 */
/* Security Token Service: credentials of a role. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_AWS_STS_H
#define SNAPCRYPT_KMS_CREDENTIALS_AWS_STS_H

#include "kms/credentials/aws_request.h"

/* NULL: not given. */
struct aws_role {
	const char *role_arn;
	const char *external_id;
	const char *session_name; /* default: snapcrypt-HOST */
	const char *duration_s;   /* a number as text */
};

struct aws_sts {
	struct http *http;
	struct aws_endpoint endpoint;
	atomic_llong *offset_s;
};

/* AssumeRole, signed with BASE; the principal is the role. */
MUST_CHECK int aws_sts_assume_role(const struct aws_sts *sts, const struct kms_call *call,
				   const struct aws_role *role, const struct aws_keys *base,
				   struct aws_keys **ret_keys, struct kms_error *reterr);

/* AssumeRoleWithWebIdentity, not signed; the file is read now. */
MUST_CHECK int aws_sts_web_identity(const struct aws_sts *sts, const struct kms_call *call,
				    const struct aws_role *role, const char *token_file,
				    struct aws_keys **ret_keys, struct kms_error *reterr);

/* Credentials from a reply, whose status is 200.  For this file and its fuzz target.  -EKEYEXPIRED. */
MUST_CHECK int aws_sts_read_credentials(struct bytes xml, const char *source,
					struct aws_keys **ret_keys);

/* What another status means.  Returns the code. */
int aws_sts_fail(const char *role_arn, int status, struct bytes xml, struct kms_error *reterr);

#endif
