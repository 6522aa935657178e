/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kms/text.h"

static void text_grows_and_stays_terminated(void **state)
{
	struct text text = { 0 };

	for (int i = 0; i < 5000; i++)
		text_add(&text, "abc");
	assert_int_equal(text_check(&text), 0);
	assert_int_equal(text.size, 15000);
	assert_int_equal(strlen(text.data), 15000);
	text_free(&text);
	assert_null(text.data);
}

static void text_json_cannot_be_left(void **state)
{
	struct text text = { 0 };

	text_add_json(&text, "a\"b\\c\nd\x01/\xc3\xa9");
	assert_string_equal(text.data, "\"a\\u0022b\\u005cc\\u000ad\\u0001/\xc3\xa9\"");
	text_free(&text);
}

static void text_fields_are_escaped(void **state)
{
	struct text text = { 0 };

	text_add_field(&text, "client_secret", bytes_from_text("a~b&c=d +%/\xff"));
	text_add_field(&text, "scope", bytes_from_text("https://x/.default"));
	assert_string_equal(text.data, "client_secret=a~b%26c%3Dd%20%2B%25%2F%FF&"
				       "scope=https%3A%2F%2Fx%2F.default");
	text_free(&text);
}

static void text_appends_base64(void **state)
{
	const uint8_t data[] = { 0xfb, 0xff, 0xbf, 0x01 };
	struct text text = { 0 };

	text_add(&text, "x:");
	text_add_base64(&text, (struct bytes){ data, sizeof(data) });
	text_add(&text, ":");
	text_add_base64url(&text, (struct bytes){ data, sizeof(data) });
	text_add_base64(&text, (struct bytes){ data, 0 });
	assert_string_equal(text.data, "x:+/+/AQ==:-_-_AQ");
	text_free(&text);
}

static void text_remembers_what_did_not_fit(void **state)
{
	static uint8_t large[TEXT_MAX];
	struct text text = { 0 };

	text_add(&text, "a");
	text_add_bytes(&text, (struct bytes){ large, sizeof(large) });
	text_add(&text, "b");
	assert_int_equal(text_check(&text), -ENOMEM);
	assert_string_equal(text.data, "a");
	text_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_grows_and_stays_terminated),
		cmocka_unit_test(text_json_cannot_be_left),
		cmocka_unit_test(text_fields_are_escaped),
		cmocka_unit_test(text_appends_base64),
		cmocka_unit_test(text_remembers_what_did_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
