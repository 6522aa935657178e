/* SPDX-License-Identifier: Apache-2.0 */
/* SigV4 against known answers: tests/vectors/kms/sigv4-*.vec, whose bytes are the request body. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kms/crypto/sigv4.h"
#include "tests/unit/hex.h"
#include "tests/unit/vector.h"

#define DATE "20150830T123600Z"

static struct secret *secret_key(const char *text)
{
	struct secret *secret = NULL;

	assert_int_equal(secret_copy(bytes_from_text(text), &secret), 0);
	return secret;
}

static const char *optional(const struct vector *vector, const char *name)
{
	const char *value = vector_field(vector, name);

	return strcmp(value, "-") ? value : NULL;
}

static const char *run_vector(const struct vector *vector)
{
	struct secret *secret = secret_key(vector_field(vector, "secret-access-key"));
	const struct sigv4_key key = {
		.access_key_id = vector_field(vector, "access-key-id"),
		.secret_access_key = secret,
		.session_token = optional(vector, "session-token"),
	};
	const struct sigv4_request request = {
		.region = vector_field(vector, "region"),
		.service = vector_field(vector, "service"),
		.host = vector_field(vector, "host"),
		.content_type = vector_field(vector, "content-type"),
		.target = optional(vector, "target"),
		.body = { vector->data, vector->size },
	};
	uint8_t *signing_key = secret_alloc(HMAC_SIZE);
	uint8_t digest[SHA256_SIZE];
	char authorization[SIGV4_AUTHORIZATION_SIZE], expected[128];

	assert_int_equal(sigv4_canonical_digest(&request, key.session_token,
						vector_field(vector, "date"), digest),
			 0);
	assert_hex(digest, sizeof(digest), vector_field(vector, "canonical-digest"));
	assert_int_equal(
		sigv4_signing_key(secret, vector_field(vector, "date"), &request, signing_key), 0);
	assert_hex(signing_key, HMAC_SIZE, vector_field(vector, "signing-key"));
	assert_int_equal(sigv4_sign(&key, &request, vector_field(vector, "date"), authorization),
			 0);
	(void)snprintf(expected, sizeof(expected), ", Signature=%s",
		       vector_field(vector, "signature"));
	secret_free(signing_key);
	secret_drop(secret);
	return strstr(authorization, expected) ? "ok" : "wrong";
}

static void sigv4_gives_the_known_signatures(void **state)
{
	vectors_run("kms", "sigv4", run_vector);
}

static void sigv4_names_what_it_signed(void **state)
{
	struct secret *secret = secret_key("s");
	const struct sigv4_key key = { "AK", secret, "token" };
	const struct sigv4_request request = { .region = "eu-west-1",
					       .service = "kms",
					       .host = "h",
					       .content_type = "c",
					       .target = "t" };
	char authorization[SIGV4_AUTHORIZATION_SIZE];

	assert_int_equal(sigv4_sign(&key, &request, DATE, authorization), 0);
	assert_non_null(
		strstr(authorization,
		       "AWS4-HMAC-SHA256 Credential=AK/20150830/eu-west-1/kms/aws4_request, "
		       "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;"
		       "x-amz-target, Signature="));
	secret_drop(secret);
}

static void sigv4_refuses_control_characters(void **state)
{
	struct secret *secret = secret_key("s");
	const struct sigv4_key key = { "AK", secret, "to\nken" };
	const struct sigv4_request request = {
		.region = "r", .service = "kms", .host = "h", .content_type = "c"
	};
	char authorization[SIGV4_AUTHORIZATION_SIZE];

	assert_int_equal(sigv4_sign(&key, &request, DATE, authorization), -EINVAL);
	secret_drop(secret);
}

static void sigv4_date_is_basic_iso_8601(void **state)
{
	char date[SIGV4_DATE_SIZE];

	assert_int_equal(sigv4_date(1440938160, date), 0);
	assert_string_equal(date, DATE);
	assert_int_equal(sigv4_date(INT64_C(1) << 60, date), -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sigv4_gives_the_known_signatures),
		cmocka_unit_test(sigv4_names_what_it_signed),
		cmocka_unit_test(sigv4_refuses_control_characters),
		cmocka_unit_test(sigv4_date_is_basic_iso_8601),
	};

	return secret_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
