/* SPDX-License-Identifier: Apache-2.0 */
/* policy: each role gets what it needs and nothing else. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kms/crypto/secret.h"
#include "kms/json_reader.h"
#include "kms/policy.h"

#define ARN "arn:aws:kms:eu-west-1:111122223333:key/1234"

static struct json_reader *policy_of(const char *uri, enum kms_use use)
{
	const struct kms_config config = { .uri = uri };
	struct json_reader *reader = NULL;
	char *text = NULL;

	assert_int_equal(kms_policy(&config, use, &text, NULL), 0);
	assert_int_equal(json_reader_parse(bytes_from_text(text), &reader), 0);
	free(text);
	return reader;
}

static void aws_policy_allows_one_key_and_our_context_only(void **state)
{
	struct json_reader *reader = policy_of("awskms:///" ARN, KMS_USE_BOTH);

	assert_int_equal(json_reader_count(reader, "Statement"), 2);
	assert_string_equal(json_reader_text(reader, "Statement.0.Resource"), ARN);
	assert_string_equal(json_reader_text(reader, "Statement.1.Resource"), ARN);
	assert_int_equal(json_reader_count(reader, "Statement.0.Action"), 2);
	assert_true(json_reader_has(reader, "Statement.0.Condition.StringEquals"));
	assert_false(json_reader_has(reader, "Statement.1.Condition"));
	json_reader_free(reader);
}

static void aws_policy_of_a_write_only_host_does_not_decrypt(void **state)
{
	struct json_reader *reader = policy_of("awskms:///" ARN, KMS_USE_MAKE);

	assert_int_equal(json_reader_count(reader, "Statement.0.Action"), 1);
	assert_string_equal(json_reader_text(reader, "Statement.0.Action.0"),
			    "kms:GenerateDataKey");
	json_reader_free(reader);
}

static void aws_policy_of_a_host_that_only_restores_makes_nothing(void **state)
{
	struct json_reader *reader = policy_of("awskms:///" ARN, KMS_USE_OPEN);

	assert_int_equal(json_reader_count(reader, "Statement.0.Action"), 1);
	assert_string_equal(json_reader_text(reader, "Statement.0.Action.0"), "kms:Decrypt");
	json_reader_free(reader);
}

static void aws_policy_of_an_alias_names_it_in_the_condition(void **state)
{
	static const char *const uris[] = {
		"awskms:///alias/backup?region=eu-west-1",
		"awskms:///arn:aws:kms:eu-west-1:111122223333:alias/backup",
	};

	for (size_t i = 0; i < ARRAY_SIZE(uris); i++) {
		struct json_reader *reader = policy_of(uris[i], KMS_USE_BOTH);

		for (size_t k = 0; k < 2; k++) {
			const char *const paths[] = {
				"Statement.0.Condition.ForAnyValue:StringEquals.kms:ResourceAliases",
				"Statement.1.Condition.ForAnyValue:StringEquals.kms:ResourceAliases",
			};

			assert_string_equal(json_reader_text(reader, paths[k]), "alias/backup");
		}
		json_reader_free(reader);
	}
}

static void policy_says_what_it_does_not_know(void **state)
{
	const struct kms_config keyring = { .uri = "keyring:///x" };
	const struct kms_config wrong = { .uri = "awskms:///a/b" };
	char *text = NULL;

	assert_int_equal(kms_policy(&keyring, KMS_USE_BOTH, &text, NULL), -ENOTSUP);
	assert_int_equal(kms_policy(&wrong, KMS_USE_BOTH, &text, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aws_policy_allows_one_key_and_our_context_only),
		cmocka_unit_test(aws_policy_of_a_write_only_host_does_not_decrypt),
		cmocka_unit_test(aws_policy_of_a_host_that_only_restores_makes_nothing),
		cmocka_unit_test(aws_policy_of_an_alias_names_it_in_the_condition),
		cmocka_unit_test(policy_says_what_it_does_not_know),
	};

	return secret_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
