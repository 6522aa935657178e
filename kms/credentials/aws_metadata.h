/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that the machine itself hands out: container endpoints and the instance metadata service. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_AWS_METADATA_H
#define SNAPCRYPT_KMS_CREDENTIALS_AWS_METADATA_H

#include "kms/credentials/aws_keys.h"
#include "kms/http.h"

/* ECS, EKS Pod Identity.  -ENOENT: not in such a container. */
MUST_CHECK int aws_container_keys(struct http *http, const struct kms_call *call,
				  struct aws_keys **ret_keys, struct kms_error *reterr);

/* IMDSv2.  -ENOENT: switched off, or nobody answers. */
MUST_CHECK int aws_instance_keys(struct http *http, const struct kms_call *call,
				 struct aws_keys **ret_keys, struct kms_error *reterr);

#endif
