/* SPDX-License-Identifier: Apache-2.0 */
/* Replies of AWS KMS, STS and metadata services: tests/vectors/kms/aws-*.vec, whose bytes are the body. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kms/credentials/aws_sts.h"
#include "kms/providers/aws_call.h"
#include "tests/unit/vector.h"

static char outcome[256];

/* A reply owns its body, ended by a NUL. */
static struct http_reply reply_of(const struct vector *vector, int status)
{
	struct http_reply reply = { .status = status, .size = vector->size };

	reply.body = calloc(1, vector->size + 1);
	reply.headers = strdup("HTTP/1.1 400 Bad Request\nx-amzn-RequestId: 0123\n");
	assert_non_null(reply.body);
	memcpy(reply.body, vector->data, vector->size);
	return reply;
}

static const char *describe_error(const struct kms_error *error)
{
	(void)snprintf(outcome, sizeof(outcome), "%s %s%s", strerrorname_np(-error->code),
		       key_state_name(error->state), error->is_retryable ? " retryable" : "");
	return outcome;
}

static const char *run_refusal(const struct vector *vector)
{
	struct http_reply reply = reply_of(vector, (int)vector_number(vector, "status"));
	struct aws_refusal refusal;
	struct kms_error error = { 0 };

	int r = aws_refusal_read(&reply, "Decrypt", "KEY", &refusal, &error);

	assert_int_equal(r, error.code);
	assert_string_equal(error.request_id, "0123");
	assert_string_equal(error.operation, "Decrypt");
	assert_int_equal(refusal.is_credentials, error.state == KEY_STATE_CREDENTIALS_EXPIRED);
	http_reply_free(&reply);
	return describe_error(&error);
}

static const char *run_describe(const struct vector *vector)
{
	struct json_reader *reply = NULL;
	struct kms_key_info info;
	int r;

	r = json_reader_parse((struct bytes){ vector->data, vector->size }, &reply);
	if (r == 0)
		r = aws_describe_read(reply, &info);
	json_reader_free(reply);
	return r < 0 ? strerrorname_np(-r) : key_state_name(info.state);
}

static const char *show_keys(int r, const struct aws_keys *keys)
{
	const char *token;

	if (r < 0)
		return strerrorname_np(-r);
	token = aws_keys_session_token(keys);
	(void)snprintf(outcome, sizeof(outcome), "%s %.*s %s %lld", keys->access_key_id,
		       (int)secret_bytes(keys->secret_access_key).size,
		       (const char *)secret_bytes(keys->secret_access_key).data,
		       token ? token : "-", (long long)keys->expires_s);
	return outcome;
}

static const char *run_sts(const struct vector *vector)
{
	CLEANUP(aws_keys_cleanup) struct aws_keys *keys = NULL;
	int r = aws_sts_read_credentials((struct bytes){ vector->data, vector->size },
					 "assume-role", &keys);

	return show_keys(r, keys);
}

static const char *run_sts_error(const struct vector *vector)
{
	struct kms_error error = { 0 };

	(void)aws_sts_fail("ROLE", (int)vector_number(vector, "status"),
			   (struct bytes){ vector->data, vector->size }, &error);
	return describe_error(&error);
}

static const char *run_credentials(const struct vector *vector)
{
	CLEANUP(aws_keys_cleanup) struct aws_keys *keys = NULL;
	struct kms_error error = { 0 };
	int r = aws_keys_from_json((struct bytes){ vector->data, vector->size }, "instance",
				   "metadata", &keys, &error);

	return show_keys(r, keys);
}

static void aws_refusals_are_classified(void **state)
{
	vectors_run("kms", "aws-refusal", run_refusal);
}

static void aws_descriptions_are_read(void **state)
{
	vectors_run("kms", "aws-describe", run_describe);
}

static void sts_credentials_are_read(void **state)
{
	vectors_run("kms", "aws-sts", run_sts);
}

static void sts_errors_are_classified(void **state)
{
	vectors_run("kms", "aws-sts-error", run_sts_error);
}

static void aws_credential_replies_are_read(void **state)
{
	vectors_run("kms", "aws-credentials", run_credentials);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aws_refusals_are_classified),
		cmocka_unit_test(aws_descriptions_are_read),
		cmocka_unit_test(sts_credentials_are_read),
		cmocka_unit_test(sts_errors_are_classified),
		cmocka_unit_test(aws_credential_replies_are_read),
	};

	return secret_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
