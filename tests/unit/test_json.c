/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON replies. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kms/json.h"

static struct json *parse(const char *text)
{
	struct json *root = NULL;

	assert_int_equal(json_parse(bytes_from_text(text), &root), 0);
	return root;
}

static void json_parse_refuses_what_is_not_one_value(void **state)
{
	static const char *const bad[] = { "",       "{",         "{\"a\":1",  "{\"a\":1}x",
					   "<html>", "{} {}",     "{\"a\":\"", "[1,2",
					   "nul",    "{\"a\" 1}", "\"open" };
	char deep[2 * JSON_DEPTH_MAX + 3];
	struct json *root = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(json_parse(bytes_from_text(bad[i]), &root), -EBADMSG);
	memset(deep, '[', sizeof(deep));
	memset(deep + sizeof(deep) / 2, ']', sizeof(deep) / 2);
	assert_int_equal(json_parse((struct bytes){ (uint8_t *)deep, sizeof(deep) - 1 }, &root),
			 -EBADMSG);
	assert_null(root);
}

static void json_get_follows_members(void **state)
{
	CLEANUP(json_cleanup)
	struct json *root =
		parse("{\"a\":{\"b\":{\"c\":\"x\"}},\"l\":[1,{\"d\":\"y\"}],\"n\":null} \n");

	assert_string_equal(json_text(root, "a.b.c"), "x");
	assert_null(json_text(root, "a.b"));
	assert_null(json_text(root, "a.b.c.d"));
	assert_null(json_get(root, "a.z"));
	assert_null(json_get(root, "n"));
	assert_int_equal(json_count(root, "l"), 2);
	assert_int_equal(json_count(root, "a"), 0);
	assert_string_equal(json_text(json_element(root, "l", 1), "d"), "y");
	assert_null(json_element(root, "l", 2));
	assert_string_equal(json_member_name(root, NULL, 1), "l");
	assert_null(json_member_name(root, NULL, 3));
	assert_null(json_member_name(root, "l", 0));
}

static void json_number_reads_integers_and_decimal_strings_only(void **state)
{
	CLEANUP(json_cleanup)
	struct json *root = parse(
		"{\"i\":7,\"s\":\"4294967295\",\"m\":\"-3\",\"f\":1.5,\"b\":true,\"x\":\"0x10\","
		"\"e\":\"\",\"o\":\"9223372036854775808\",\"p\":\" 1\"}");
	static const char *const bad[] = { "f", "b", "x", "e", "o", "p", "absent" };
	int64_t number = -1;

	assert_true(json_number(root, "i", &number));
	assert_int_equal(number, 7);
	assert_true(json_number(root, "s", &number));
	assert_int_equal(number, 4294967295);
	assert_true(json_number(root, "m", &number));
	assert_int_equal(number, -3);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(json_number(root, bad[i], &number));
}

static void json_truth_and_text_are_strict(void **state)
{
	CLEANUP(json_cleanup)
	struct json *root =
		parse("{\"t\":true,\"f\":false,\"s\":\"true\",\"z\":\"a\\u0000b\",\"n\":1}");

	assert_true(json_truth(root, "t", false));
	assert_false(json_truth(root, "f", true));
	assert_false(json_truth(root, "s", false));
	assert_true(json_truth(root, "absent", true));
	assert_null(json_text(root, "z"));
	assert_null(json_text(root, "n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_parse_refuses_what_is_not_one_value),
		cmocka_unit_test(json_get_follows_members),
		cmocka_unit_test(json_number_reads_integers_and_decimal_strings_only),
		cmocka_unit_test(json_truth_and_text_are_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
