/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS KMS.  What is sent and stored: kms/PROTOCOL.md, "aws".
 *
 * A slot names the key by its ARN whatever the operator wrote, so that an alias that is pointed elsewhere later does not
 * take what is stored along.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/secret.h"
#include "kms/json_text.h"
#include "kms/providers/aws_call.h"
#include "kms/providers/providers.h"

#define BLOB_MAX ((size_t)6144)
#define BODY_MAX ((size_t)16 * 1024)

/* Is ARN what the operator named?  An alias may stand for any key of its region and account. */
static bool is_named_key(const struct aws *aws, const struct aws_arn *arn)
{
	struct aws_arn named;

	if (!aws_arn_is_key(arn) || strcmp(arn->region, aws->endpoint.region) != 0)
		return false;
	if (aws_arn_parse(aws->uri.key, &named) == 0)
		return aws_arn_is_key(&named) ? aws_arn_same_key(&named, arn)
					      : !strcmp(named.account, arn->account);
	return !strncmp(aws->uri.key, "alias/", 6) || !strcmp(arn->resource + 4, aws->uri.key);
}

/* An answer that cannot be believed; what it was an answer to stays in *RETERR. */
__attribute__((format(printf, 3, 4))) static int fail_answer(struct kms_error *reterr, int code,
							     const char *format, ...)
{
	enum key_state state = code == -EPROTO ? KEY_STATE_UNREACHABLE : KEY_STATE_UNKNOWN;
	struct kms_error error;
	va_list arguments;

	if (!reterr)
		return code;
	error = *reterr;
	va_start(arguments, format);
	(void)vsnprintf(error.text, sizeof(error.text), format, arguments);
	va_end(arguments);
	error.code = code;
	error.state = state;
	error.is_retryable = code == -EPROTO;
	*reterr = error;
	return code;
}

static int fail_unreadable(const char *key, const char *operation, struct kms_error *reterr)
{
	return fail_answer(reterr, -EPROTO, "%s: %s: the answer cannot be read", key, operation);
}

/* KeyId of an answer to a wrap, checked, remembered. */
static int take_key_id(struct aws *aws, const struct json_reader *reply, struct slot *slot,
		       struct kms_error *reterr)
{
	const char *key_id = json_reader_text(reply, "KeyId");
	struct aws_arn arn;

	if (!key_id || aws_arn_parse(key_id, &arn) < 0 || !is_named_key(aws, &arn))
		return fail_answer(reterr, -EKEYREJECTED,
				   "%s: the answer is about another key: %.200s", aws->uri.key,
				   key_id ? key_id : "none");
	pthread_mutex_lock(&aws->lock);
	aws->resolved = arn;
	pthread_mutex_unlock(&aws->lock);
	memcpy(slot->key_id, key_id, strlen(key_id) + 1);
	return 0;
}

/* Slot from the answer to Encrypt or GenerateDataKey. */
static int fill_slot(struct aws *aws, const char *operation, const struct json_reader *reply,
		     const struct aws_keys *keys, struct slot *slot, struct kms_error *reterr)
{
	ssize_t size = json_reader_bytes(reply, "CiphertextBlob", JSON_BASE64, slot->wrapped,
					 BLOB_MAX);
	bool is_alias = strstr(aws->uri.key, "alias/") != NULL;
	int r;

	if (size <= 0)
		return fail_unreadable(aws->uri.key, operation, reterr);
	r = take_key_id(aws, reply, slot, reterr);
	if (r < 0)
		return r;
	slot->wrapped_size = (size_t)size;
	memcpy(slot->provider, "aws", sizeof("aws"));
	(void)snprintf(slot->key_alias, sizeof(slot->key_alias), "%s",
		       is_alias ? aws->uri.key : "");
	r = text_pairs_set(&slot->access, "principal", keys->principal);
	if (r == 0)
		r = text_pairs_set(&slot->access, "source", keys->source);
	if (r == 0 && aws->section)
		r = text_pairs_set(&slot->access, "section", aws->section);
	return r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: %s", aws->uri.key, strerror(-r))
		     : 0;
}

static void add_context(struct json_text *json, const struct wrap_context *context)
{
	char volume[UUID_TEXT_SIZE], snapshot[UUID_TEXT_SIZE];

	uuid_format(&context->volume, volume);
	uuid_format(&context->snapshot, snapshot);
	json_text_open(json, "EncryptionContext");
	json_text_string(json, "snapcrypt", "1");
	json_text_string(json, "volume", volume);
	json_text_string(json, "snapshot", snapshot);
	json_text_close(json);
}

/* Why the service says no to KEY: what it is like decides, not the name of the exception. */
static int settle(struct aws *aws, const struct kms_call *call, const char *key, int code,
		  struct kms_error *reterr)
{
	struct kms_key_info info;
	struct kms_error error = { 0 };
	int r;

	if (aws_describe_key(aws, call, key, &info, &error) < 0) {
		/* DescribeKey is not permitted; the message is what is left. */
		if (reterr && strcasestr(reterr->text, "pending deletion"))
			reterr->state = KEY_STATE_PENDING_DELETION;
		return code;
	}
	r = aws_state_fail(info.state, info.key_id, info.deletion_s, &error);
	if (r == 0 || info.state == KEY_STATE_UNKNOWN)
		return code;
	if (reterr) {
		memcpy(error.service_code, reterr->service_code, sizeof(error.service_code));
		memcpy(error.request_id, reterr->request_id, sizeof(error.request_id));
		memcpy(error.operation, reterr->operation, sizeof(error.operation));
		error.http_status = reterr->http_status;
		*reterr = error;
	}
	return r;
}

/* One operation that uses the key. */
static int use_key(struct aws *aws, const struct kms_call *call,
		   const struct aws_operation *operation, struct json_reader **ret_reply,
		   struct kms_error *reterr)
{
	struct aws_refusal refusal = { 0 };
	struct aws_operation with_refusal = *operation;
	int r;

	with_refusal.ret_refusal = &refusal;
	r = aws_call(aws, call, &with_refusal, ret_reply, reterr);
	return r < 0 && refusal.needs_state ? settle(aws, call, operation->key, r, reterr) : r;
}

static int aws_generate(void *state, const struct kms_call *call,
			const struct wrap_context *context, struct slot *slot,
			struct secret **ret_secret, struct kms_error *reterr)
{
	struct aws *aws = state;
	CLEANUP(json_reader_cleanup) struct json_reader *reply = NULL;
	CLEANUP(aws_keys_cleanup) struct aws_keys *keys = NULL;
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	char buffer[2048];
	struct json_text json;
	struct aws_operation operation = { .name = "GenerateDataKey",
					   .key = aws->uri.key,
					   .ret_keys = &keys };
	int r;

	json_text_begin(&json, buffer, sizeof(buffer));
	json_text_string(&json, "KeyId", aws->uri.key);
	json_text_string(&json, "KeySpec", "AES_256");
	add_context(&json, context);
	operation.body = json_text_end(&json);
	r = use_key(aws, call, &operation, &reply, reterr);
	if (r < 0)
		return r;
	if (json_reader_secret(reply, "Plaintext", JSON_BASE64, SLOT_SECRET_SIZE, &secret) < 0)
		return fail_unreadable(aws->uri.key, operation.name, reterr);
	r = fill_slot(aws, operation.name, reply, keys, slot, reterr);
	if (r == 0)
		*ret_secret = TAKE(secret);
	return r;
}

static int aws_wrap(void *state, const struct kms_call *call, const struct wrap_context *context,
		    const struct secret *secret, struct slot *slot, struct kms_error *reterr)
{
	struct aws *aws = state;
	CLEANUP(json_reader_cleanup) struct json_reader *reply = NULL;
	CLEANUP(aws_keys_cleanup) struct aws_keys *keys = NULL;
	CLEANUP(secret_free_cleanup) uint8_t *buffer = secret_alloc(2048);
	struct json_text json;
	struct aws_operation operation = { .name = "Encrypt",
					   .key = aws->uri.key,
					   .ret_keys = &keys };
	int r;

	if (!buffer)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of secret memory");
	json_text_begin(&json, (char *)buffer, 2048);
	json_text_string(&json, "KeyId", aws->uri.key);
	json_text_base64(&json, "Plaintext", secret_bytes(secret));
	add_context(&json, context);
	operation.body = json_text_end(&json);
	r = use_key(aws, call, &operation, &reply, reterr);
	return r < 0 ? r : fill_slot(aws, operation.name, reply, keys, slot, reterr);
}

/* The name under which this KEK's region knows the slot's key. */
static int key_of_slot(const struct aws *aws, const struct slot *slot, char key[static KEY_ID_SIZE],
		       struct kms_error *reterr)
{
	struct aws_arn arn;

	if (slot->wrapped_size == 0 || slot->wrapped_size > BLOB_MAX ||
	    aws_arn_parse(slot->key_id, &arn) < 0 || !aws_arn_is_key(&arn))
		return kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
				"%s: not a slot of AWS KMS", slot->key_id);
	if (!strncmp(arn.resource, "key/mrk-", 8))
		memcpy(arn.region, aws->endpoint.region, sizeof(arn.region));
	return aws_arn_format(&arn, key);
}

/* Who wrote the slot, and who asks: often two different people. */
static void explain_denial(const struct aws *aws, const struct slot *slot,
			   const struct aws_keys *keys, struct kms_error *reterr)
{
	const char *writer = text_pairs_get(&slot->access, "principal");
	const char *section = text_pairs_get(&slot->access, "section");
	size_t used;

	if (!reterr || reterr->code != -EACCES || !keys)
		return;
	used = strlen(reterr->text);
	(void)snprintf(reterr->text + used, sizeof(reterr->text) - used,
		       "; written as %.120s%s%.40s%s, this host asks as %.120s%s%.40s%s",
		       writer ? writer : "somebody unknown", section ? " ([key \"" : "",
		       section ? section : "", section ? "\"])" : "", keys->principal,
		       aws->section ? " ([key \"" : "", aws->section ? aws->section : "",
		       aws->section ? "\"])" : "");
}

static int decrypt(struct aws *aws, const struct kms_call *call, const struct wrap_context *context,
		   const struct slot *slot, const char *key, struct secret **ret_secret,
		   struct kms_error *reterr)
{
	CLEANUP(json_reader_cleanup) struct json_reader *reply = NULL;
	CLEANUP(aws_keys_cleanup) struct aws_keys *keys = NULL;
	char *buffer = malloc(BODY_MAX);
	struct json_text json;
	struct aws_operation operation = { .name = "Decrypt", .key = key, .ret_keys = &keys };
	const char *used;
	int r;

	if (!buffer)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	json_text_begin(&json, buffer, BODY_MAX);
	json_text_base64(&json, "CiphertextBlob",
			 (struct bytes){ slot->wrapped, slot->wrapped_size });
	json_text_string(&json, "KeyId", key);
	add_context(&json, context);
	operation.body = json_text_end(&json);
	r = use_key(aws, call, &operation, &reply, reterr);
	free(buffer);
	if (r < 0) {
		explain_denial(aws, slot, keys, reterr);
		return r;
	}
	used = json_reader_text(reply, "KeyId");
	if (!used || strcmp(used, key) != 0)
		return fail_answer(reterr, -EKEYREJECTED,
				   "%s: the answer is about another key: %.200s", key,
				   used ? used : "none");
	if (json_reader_secret(reply, "Plaintext", JSON_BASE64, SLOT_SECRET_SIZE, ret_secret) < 0)
		return fail_unreadable(key, operation.name, reterr);
	return 0;
}

static int aws_unwrap(void *state, const struct kms_call *call, const struct wrap_context *context,
		      const struct slot *slot, struct secret **ret_secret, struct kms_error *reterr)
{
	struct aws *aws = state;
	char key[KEY_ID_SIZE];
	int r;

	r = key_of_slot(aws, slot, key, reterr);
	return r < 0 ? r : decrypt(aws, call, context, slot, key, ret_secret, reterr);
}

static int aws_describe(void *state, const struct kms_call *call, struct kms_key_info *ret_info,
			struct kms_error *reterr)
{
	struct aws *aws = state;
	struct aws_arn arn;
	int r;

	r = aws_describe_key(aws, call, aws->uri.key, ret_info, reterr);
	if (r < 0)
		return r;
	if (aws_arn_parse(ret_info->key_id, &arn) < 0 || !is_named_key(aws, &arn))
		return fail_answer(reterr, -EKEYREJECTED, "%s: the answer is about another key: %s",
				   aws->uri.key, ret_info->key_id);
	pthread_mutex_lock(&aws->lock);
	aws->resolved = arn;
	pthread_mutex_unlock(&aws->lock);
	aws_describe_rotation(aws, call, ret_info);
	return 0;
}

/*
 * Decrypt goes on working for some time after a key was disabled, so DescribeKey is asked, too; where it is not permitted,
 * or does not answer, what Decrypt said stands.
 */
static int aws_probe(void *state, const struct kms_call *call, const struct wrap_context *context,
		     const struct slot *slot, struct kms_error *reterr)
{
	struct aws *aws = state;
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	struct kms_key_info info;
	char key[KEY_ID_SIZE];
	int r;

	r = key_of_slot(aws, slot, key, reterr);
	if (r == 0)
		r = decrypt(aws, call, context, slot, key, &secret, reterr);
	if (r < 0)
		return r;
	if (aws_describe_key(aws, call, key, &info, NULL) < 0 ||
	    !key_state_is_definite_no(info.state))
		return 0;
	return aws_state_fail(info.state, info.key_id, info.deletion_s, reterr);
}

static bool aws_owns(void *state, const struct slot *slot)
{
	struct aws *aws = state;
	struct aws_arn arn, resolved;

	if (aws_arn_parse(slot->key_id, &arn) < 0 || !aws_arn_is_key(&arn))
		return false;
	pthread_mutex_lock(&aws->lock);
	resolved = aws->resolved;
	pthread_mutex_unlock(&aws->lock);
	if (resolved.resource[0] && aws_arn_same_key(&resolved, &arn))
		return true;
	/* A multi-Region key is asked in our region, wherever the slot was written. */
	if (!strncmp(arn.resource, "key/mrk-", 8))
		memcpy(arn.region, aws->endpoint.region, sizeof(arn.region));
	/* What an alias stood for when the slot was written. */
	if (strstr(aws->uri.key, "alias/"))
		return !strcmp(slot->key_alias, aws->uri.key) && is_named_key(aws, &arn);
	return is_named_key(aws, &arn);
}

static const char *aws_notice(void *state)
{
	struct aws *aws = state;

	return atomic_load(&aws->has_used_user_keys)
		       ? "static user keys of AWS do not expire; prefer a role "
			 "(role_arn, an instance or container role)"
		       : NULL;
}

static const char *const aws_schemes[] = { "awskms", NULL };

const struct kms_provider provider_aws = {
	.name = "aws",
	.schemes = aws_schemes,
	.open = aws_open,
	.generate = aws_generate,
	.wrap = aws_wrap,
	.unwrap = aws_unwrap,
	.describe = aws_describe,
	.probe = aws_probe,
	.owns = aws_owns,
	.notice = aws_notice,
	.policy = aws_policy,
	.close = aws_close,
};
