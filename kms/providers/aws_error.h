/* SPDX-License-Identifier: Apache-2.0 */
/* What AWS KMS says when it refuses. */
#ifndef SNAPCRYPT_KMS_PROVIDERS_AWS_ERROR_H
#define SNAPCRYPT_KMS_PROVIDERS_AWS_ERROR_H

#include <stdbool.h>

#include "kms/error.h"
#include "kms/http.h"

/*
 *   is_credentials  our credentials were refused: fresh ones may help
 *   needs_state     the key is not usable, and only DescribeKey tells why
 */
struct aws_refusal {
	bool is_credentials;
	bool needs_state;
};

/*
 * Classify a reply whose status is not 200.  Returns the code, and fills RETERR all but the operation.
 *
 *   key  as it was sent
 */
int aws_refusal_read(const struct http_reply *reply, const char *operation, const char *key,
		     struct aws_refusal *ret_refusal, struct kms_error *reterr);

/* What KeyState means; KEY_STATE_UNKNOWN for words that we do not know. */
enum key_state aws_key_state(const char *word);

/* Operation, status and request id of an answer. */
void aws_error_note(struct kms_error *error, const struct http_reply *reply, const char *operation);

/* The failure that a key's state means; KEY_STATE_ENABLED is none.  DELETION_S: 0, or when it will be deleted. */
int aws_state_fail(enum key_state state, const char *key, int64_t deletion_s,
		   struct kms_error *reterr);

#endif
