/* SPDX-License-Identifier: Apache-2.0 */
/* One operation of AWS KMS. */
#ifndef SNAPCRYPT_KMS_PROVIDERS_AWS_CALL_H
#define SNAPCRYPT_KMS_PROVIDERS_AWS_CALL_H

#include <pthread.h>

#include "kms/credentials/aws_identity.h"
#include "kms/credentials/aws_profile.h"
#include "kms/json_reader.h"
#include "kms/providers/aws_error.h"
#include "kms/providers/aws_uri.h"
#include "kms/text.h"

/* One KEK. */
struct aws {
	struct aws_uri uri;
	char *section;
	struct aws_endpoint endpoint;
	struct http *http;
	struct aws_identity *identity;
	atomic_llong offset_s;          /* AWS's clock against ours */
	atomic_bool has_used_user_keys; /* keys of an IAM user, which do not expire */
	pthread_mutex_t lock;           /* guards resolved */
	struct aws_arn
		resolved; /* of an alias or a bare id, once an answer named it; resource empty before */
};

/* Members of struct kms_provider; the state is a struct aws. */
MUST_CHECK int aws_open(const struct kms_config *config, void **ret_state,
			struct kms_error *reterr);
void aws_close(void *state);
MUST_CHECK int aws_policy(const struct kms_config *config, enum kms_use use, struct text *text,
			  struct kms_error *reterr);

/*
 * Send BODY, read the answer.  Refused credentials are refreshed once.
 *
 *   key          for texts
 *   ret_keys     which credentials were used, or NULL; set on failure too, when the service answered
 *   ret_refusal  why it was refused, or NULL
 */
struct aws_operation {
	const char *name;
	const char *key;
	struct bytes body;
	struct aws_keys **ret_keys;
	struct aws_refusal *ret_refusal;
};

MUST_CHECK int aws_call(struct aws *aws, const struct kms_call *call,
			const struct aws_operation *operation, struct json_reader **ret_reply,
			struct kms_error *reterr);

/* DescribeKey. */
MUST_CHECK int aws_describe_key(struct aws *aws, const struct kms_call *call, const char *key,
				struct kms_key_info *ret_info, struct kms_error *reterr);

/* Add next_rotation_s where this host may ask for it. */
void aws_describe_rotation(struct aws *aws, const struct kms_call *call, struct kms_key_info *info);

/* Read the answer of DescribeKey.  -EPROTO.  For aws_describe_key() and its fuzz target. */
MUST_CHECK int aws_describe_read(const struct json_reader *reply, struct kms_key_info *ret_info);

#endif
