/* SPDX-License-Identifier: Apache-2.0 */
/* One operation of AWS KMS. */
#include "kms/providers/aws_call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/json_text.h"

#define CONTENT_TYPE "application/x-amz-json-1.1"
#define KEY_BODY_MAX 1024

static bool are_same_keys(const struct aws_keys *a, const struct aws_keys *b)
{
	const char *a_token = aws_keys_session_token(a), *b_token = aws_keys_session_token(b);
	struct bytes a_secret = secret_bytes(a->secret_access_key);
	struct bytes b_secret = secret_bytes(b->secret_access_key);

	return !strcmp(a->access_key_id, b->access_key_id) && a_secret.size == b_secret.size &&
	       secret_equal(a_secret.data, b_secret.data, a_secret.size) && !a_token == !b_token &&
	       (!a_token || !strcmp(a_token, b_token));
}

/* The answer, or what it refuses. */
static int read_reply(const struct aws_operation *operation, const struct http_reply *reply,
		      struct aws_refusal *refusal, struct json_reader **ret_reply,
		      struct kms_error *reterr)
{
	int r;

	if (reply->status != 200)
		return aws_refusal_read(reply, operation->name, operation->key, refusal, reterr);
	r = json_reader_parse((struct bytes){ (const uint8_t *)reply->body, reply->size },
			      ret_reply);
	if (r == 0) {
		if (reterr)
			*reterr = (struct kms_error){ 0 };
		aws_error_note(reterr, reply, operation->name);
		return 0;
	}
	r = kms_fail(reterr, r, KEY_STATE_UNREACHABLE, "%s: %s: the answer is not JSON",
		     operation->key, operation->name);
	kms_advise(reterr, "look for a proxy or portal that answers in its place");
	aws_error_note(reterr, reply, operation->name);
	if (reterr)
		reterr->is_retryable = true;
	return r;
}

static int send_with(struct aws *aws, const struct kms_call *call,
		     const struct aws_operation *operation, const struct aws_keys *keys,
		     struct aws_refusal *refusal, struct json_reader **ret_reply,
		     struct kms_error *reterr)
{
	char target[64];
	const struct aws_request request = { .endpoint = &aws->endpoint,
					     .content_type = CONTENT_TYPE,
					     .target = target,
					     .body = operation->body,
					     .keys = keys,
					     .offset_s = &aws->offset_s };
	struct http_reply reply = { 0 };
	int r;

	(void)snprintf(target, sizeof(target), "TrentService.%s", operation->name);
	r = aws_exchange(aws->http, call, &request, &reply, reterr);
	if (r == 0)
		r = read_reply(operation, &reply, refusal, ret_reply, reterr);
	else if (reterr)
		(void)snprintf(reterr->operation, sizeof(reterr->operation), "%s", operation->name);
	http_reply_free(&reply);
	return r;
}

/* Ids of keys that do not expire begin so; those of sessions begin with ASIA. */
static void note_user_keys(struct aws *aws, const struct aws_keys *keys)
{
	if (!strncmp(keys->access_key_id, "AKIA", 4))
		atomic_store(&aws->has_used_user_keys, true);
}

int aws_call(struct aws *aws, const struct kms_call *call, const struct aws_operation *operation,
	     struct json_reader **ret_reply, struct kms_error *reterr)
{
	CLEANUP(aws_keys_cleanup) struct aws_keys *keys = NULL;
	CLEANUP(aws_keys_cleanup) struct aws_keys *rejected = NULL;
	struct aws_refusal refusal = { 0 };
	int r;

	if (!operation->body.data)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "%s: the request is too long",
				operation->key);
	r = aws_identity_keys(aws->identity, call, NULL, &keys, reterr);
	if (r < 0)
		return r;
	r = send_with(aws, call, operation, keys, &refusal, ret_reply, reterr);
	if (r < 0 && refusal.is_credentials) {
		rejected = TAKE(keys);
		/* What is said about the first ones stands when there are no others. */
		if (aws_identity_keys(aws->identity, call, rejected, &keys, NULL) == 0 &&
		    !are_same_keys(keys, rejected))
			r = send_with(aws, call, operation, keys, &refusal, ret_reply, reterr);
	}
	if (r == 0)
		note_user_keys(aws, keys);
	if (operation->ret_keys)
		*operation->ret_keys = TAKE(keys);
	if (operation->ret_refusal)
		*operation->ret_refusal = refusal;
	return r;
}

static struct bytes key_body(const char *key, char buffer[static KEY_BODY_MAX])
{
	struct json_text json;

	json_text_begin(&json, buffer, KEY_BODY_MAX);
	json_text_string(&json, "KeyId", key);
	return json_text_end(&json);
}

int aws_describe_read(const struct json_reader *reply, struct kms_key_info *ret_info)
{
	struct kms_key_info info = { 0 };
	const char *state = json_reader_text(reply, "KeyMetadata.KeyState");
	struct aws_arn arn;

	if (!state ||
	    !json_reader_copy_text(reply, "KeyMetadata.Arn", info.key_id, sizeof(info.key_id)) ||
	    aws_arn_parse(info.key_id, &arn) < 0 || !aws_arn_is_key(&arn))
		return -EPROTO;
	info.state = aws_key_state(state);
	(void)!json_reader_number(reply, "KeyMetadata.CreationDate", &info.created_s);
	(void)!json_reader_number(reply, "KeyMetadata.DeletionDate", &info.deletion_s);
	*ret_info = info;
	return 0;
}

int aws_describe_key(struct aws *aws, const struct kms_call *call, const char *key,
		     struct kms_key_info *ret_info, struct kms_error *reterr)
{
	CLEANUP(json_reader_cleanup) struct json_reader *reply = NULL;
	char buffer[KEY_BODY_MAX];
	const struct aws_operation operation = { .name = "DescribeKey",
						 .key = key,
						 .body = key_body(key, buffer) };
	int r;

	r = aws_call(aws, call, &operation, &reply, reterr);
	if (r < 0)
		return r;
	r = aws_describe_read(reply, ret_info);
	if (r < 0) {
		r = kms_fail(reterr, r, KEY_STATE_UNREACHABLE,
			     "%s: DescribeKey: the answer cannot be read", key);
		if (reterr)
			reterr->is_retryable = true;
	}
	return r;
}

void aws_describe_rotation(struct aws *aws, const struct kms_call *call, struct kms_key_info *info)
{
	CLEANUP(json_reader_cleanup) struct json_reader *reply = NULL;
	char buffer[KEY_BODY_MAX];
	const struct aws_operation operation = { .name = "GetKeyRotationStatus",
						 .key = info->key_id,
						 .body = key_body(info->key_id, buffer) };
	bool is_enabled;

	if (aws_call(aws, call, &operation, &reply, NULL) == 0 &&
	    json_reader_bool(reply, "KeyRotationEnabled", &is_enabled) && is_enabled)
		(void)!json_reader_number(reply, "NextRotationDate", &info->next_rotation_s);
}
