/* SPDX-License-Identifier: Apache-2.0 */
/* The vendor's files of profiles, and names of keys. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kms/credentials/aws_profile.h"
#include "kms/crypto/secret.h"
#include "kms/providers/aws_uri.h"

static struct aws_profiles *parse(const char *credentials, const char *config)
{
	const struct bytes texts[AWS_FILE_COUNT] = { bytes_from_text(credentials),
						     bytes_from_text(config) };
	struct aws_profiles *profiles = NULL;

	assert_int_equal(aws_profiles_parse(texts, &profiles), 0);
	return profiles;
}

static void profiles_are_named_differently_in_the_two_files(void **state)
{
	struct aws_profiles *profiles =
		parse("[a]\nx = credentials\n[profile b]\nx=1\n",
		      "[default]\nregion=r\n[a]\ny=no\n[profile a]\nx=config\ny=yes\n"
		      "[profile \"with space\"]\nz=3\n[sso-session s]\nz=4\n");

	assert_string_equal(aws_profiles_get(profiles, "a", "x"), "credentials");
	assert_string_equal(aws_profiles_get_from(profiles, AWS_FILE_CONFIG, "a", "x"), "config");
	assert_string_equal(aws_profiles_get(profiles, "a", "y"), "yes");
	assert_string_equal(aws_profiles_get(profiles, "default", "region"), "r");
	assert_string_equal(aws_profiles_get(profiles, "with space", "z"), "3");
	assert_false(aws_profiles_has(profiles, "b"));
	assert_true(aws_profiles_has(profiles, "profile b"));
	assert_false(aws_profiles_has(profiles, "s"));
	assert_null(aws_profiles_get(profiles, "a", "z"));
	aws_profiles_free(profiles);
}

static void profiles_know_comments_and_nested_settings(void **state)
{
	struct aws_profiles *profiles =
		parse("# c\n; c\n[a] # more\r\nx = v # comment\r\ny = a#b\ns3 =\n  x = nested\n"
		      "no equals\nx2=a=b\n[b\nx=in a still\n",
		      "outside=1\n");

	assert_string_equal(aws_profiles_get(profiles, "a", "y"), "a#b");
	assert_string_equal(aws_profiles_get(profiles, "a", "s3"), "");
	assert_string_equal(aws_profiles_get(profiles, "a", "x2"), "a=b");
	/* A heading that is not closed begins nothing, so nothing belongs to it. */
	assert_string_equal(aws_profiles_get(profiles, "a", "x"), "v");
	assert_null(aws_profiles_get(profiles, "b", "x"));
	aws_profiles_free(profiles);
}

static void profiles_keep_the_last_of_two_settings(void **state)
{
	struct aws_profiles *profiles = parse("[a]\nx=1\n[a]\nx=2\n", "");

	assert_string_equal(aws_profiles_get(profiles, "a", "x"), "2");
	aws_profiles_free(profiles);
}

static void arn_is_read_strictly(void **state)
{
	static const char *const bad[] = {
		"",
		"arn:aws:kms:eu-west-1:1:key/",
		"arn:aws:kms:eu-west-1:1:key/a/b",
		"arn:aws:kms:eu-west-1:1:alias/",
		"arn:aws:kms:eu-west-1:1:grant/a",
		"arn:aws:kms:eu-west-1::key/a",
		"arn:aws:kms::1:key/a",
		"arn:aws:kms:evil.example.com:1:key/a",
		"arn:aws:sts:eu-west-1:1:key/a",
		"arn:a/b:kms:eu-west-1:1:key/a",
		"arn:aws:kms:eu-west-1:1:key/a b",
		"arn:aws:kms:eu-west-1:1a:key/a",
	};
	struct aws_arn arn;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(aws_arn_parse(bad[i], &arn), -EINVAL);
	assert_int_equal(aws_arn_parse("arn:aws-cn:kms:cn-north-1:12:alias/a/b_c-d", &arn), 0);
	assert_false(aws_arn_is_key(&arn));
	assert_string_equal(arn.region, "cn-north-1");
}

static void arn_of_a_multi_region_key_is_the_same_in_every_region(void **state)
{
	struct aws_arn a, b, other;

	assert_int_equal(aws_arn_parse("arn:aws:kms:eu-west-1:1:key/mrk-1", &a), 0);
	assert_int_equal(aws_arn_parse("arn:aws:kms:us-east-1:1:key/mrk-1", &b), 0);
	assert_int_equal(aws_arn_parse("arn:aws:kms:us-east-1:2:key/mrk-1", &other), 0);
	assert_true(aws_arn_same_key(&a, &b));
	assert_false(aws_arn_same_key(&a, &other));
	assert_int_equal(aws_arn_parse("arn:aws:kms:eu-west-1:1:key/x", &a), 0);
	assert_int_equal(aws_arn_parse("arn:aws:kms:us-east-1:1:key/x", &b), 0);
	assert_false(aws_arn_same_key(&a, &b));
}

static void endpoints_are_those_of_the_partition(void **state)
{
	static const struct {
		const char *region;
		bool is_fips;
		const char *url;
	} known[] = {
		{ "us-east-1", false, "https://kms.us-east-1.amazonaws.com/" },
		{ "us-gov-west-1", true, "https://kms-fips.us-gov-west-1.amazonaws.com/" },
		{ "cn-north-1", false, "https://kms.cn-north-1.amazonaws.com.cn/" },
		{ "eusc-de-east-1", false, "https://kms.eusc-de-east-1.amazonaws.eu/" },
		{ "us-iso-east-1", false, "https://kms.us-iso-east-1.c2s.ic.gov/" },
		{ "us-isob-east-1", false, "https://kms.us-isob-east-1.sc2s.sgov.gov/" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct aws_endpoint endpoint = { .service = "kms" };

		memcpy(endpoint.region, known[i].region, strlen(known[i].region) + 1);
		assert_int_equal(aws_endpoint_set(&endpoint, NULL, known[i].is_fips, NULL), 0);
		assert_string_equal(endpoint.url, known[i].url);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(profiles_are_named_differently_in_the_two_files),
		cmocka_unit_test(profiles_know_comments_and_nested_settings),
		cmocka_unit_test(profiles_keep_the_last_of_two_settings),
		cmocka_unit_test(arn_is_read_strictly),
		cmocka_unit_test(arn_of_a_multi_region_key_is_the_same_in_every_region),
		cmocka_unit_test(endpoints_are_those_of_the_partition),
	};

	return secret_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
