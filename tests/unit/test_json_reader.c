/* SPDX-License-Identifier: Apache-2.0 */
/* json_reader and json_text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kms/crypto/secret.h"
#include "kms/json_reader.h"
#include "kms/json_text.h"

static struct json_reader *parse(const char *text)
{
	struct json_reader *reader = NULL;

	assert_int_equal(json_reader_parse(bytes_from_text(text), &reader), 0);
	return reader;
}

static void json_reader_refuses_what_is_not_one_object(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"null",
		"[]",
		"\"a\"",
		"{",
		"{}x",
		"{}{}",
		"{\"a\":1,}",
		"<html></html>",
		"{\"a\":\"\xff\"}",
		"{\"a\":\"unterminated",
		"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}}}}}}}}",
	};
	struct json_reader *reader = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(json_reader_parse(bytes_from_text(bad[i]), &reader), -EPROTO);
	assert_int_equal(json_reader_parse((struct bytes){ (const uint8_t *)"{}\0x", 4 }, &reader),
			 -EPROTO);
}

static void json_reader_finds_members_by_path(void **state)
{
	struct json_reader *reader = parse(
		"{\"a\":{\"b\":\"t\",\"n\":1.9,\"s\":\"77\"},"
		"\"l\":[{\"x\":5},\"y\"],\"t\":true,\"z\":\"a\\u0000b\"} \n");
	char text[2];
	int64_t number = 0;
	bool value = false;

	assert_string_equal(json_reader_text(reader, "a.b"), "t");
	assert_true(json_reader_copy_text(reader, "a.b", text, sizeof(text)));
	assert_false(json_reader_copy_text(reader, "a.s", text, sizeof(text)));
	assert_null(json_reader_text(reader, "a"));
	assert_null(json_reader_text(reader, "a.b.c"));
	assert_null(json_reader_text(reader, "z"));
	assert_true(json_reader_number(reader, "a.n", &number));
	assert_int_equal(number, 1);
	assert_true(json_reader_number(reader, "a.s", &number));
	assert_int_equal(number, 77);
	assert_true(json_reader_number(reader, "l.0.x", &number));
	assert_int_equal(number, 5);
	assert_false(json_reader_number(reader, "a.b", &number));
	assert_string_equal(json_reader_text(reader, "l.1"), "y");
	assert_null(json_reader_text(reader, "l.2"));
	assert_int_equal(json_reader_count(reader, "l"), 2);
	assert_int_equal(json_reader_count(reader, "a"), 0);
	assert_true(json_reader_bool(reader, "t", &value));
	assert_true(value);
	assert_false(json_reader_bool(reader, "a", &value));
	assert_false(json_reader_has(NULL, "a"));
	json_reader_free(reader);
}

static void json_reader_decodes_bytes_strictly(void **state)
{
	struct json_reader *reader =
		parse("{\"a\":\"AQID\",\"u\":\"-_8\",\"bad\":\"A\",\"empty\":\"\",\"p\":\"+/8=\"}");
	struct secret *secret = NULL;
	uint8_t data[3];

	assert_int_equal(json_reader_bytes(reader, "a", JSON_BASE64, data, 3), 3);
	assert_int_equal(json_reader_bytes(reader, "a", JSON_BASE64, data, 2), -EPROTO);
	assert_int_equal(json_reader_bytes(reader, "u", JSON_BASE64URL, data, 3), 2);
	assert_int_equal(json_reader_bytes(reader, "u", JSON_BASE64, data, 3), -EPROTO);
	assert_int_equal(json_reader_bytes(reader, "p", JSON_BASE64URL, data, 3), -EPROTO);
	assert_int_equal(json_reader_bytes(reader, "bad", JSON_BASE64, data, 3), -EPROTO);
	assert_int_equal(json_reader_bytes(reader, "none", JSON_BASE64, data, 3), -EPROTO);
	assert_int_equal(json_reader_secret(reader, "a", JSON_BASE64, 3, &secret), 0);
	assert_memory_equal(secret_bytes(secret).data, "\1\2\3", 3);
	secret_drop(secret);
	assert_int_equal(json_reader_secret(reader, "a", JSON_BASE64, 2, &secret), -EPROTO);
	assert_int_equal(json_reader_secret(reader, "a", JSON_BASE64, 4, &secret), -EPROTO);
	assert_int_equal(json_reader_secret(reader, "empty", JSON_BASE64, 0, &secret), -EPROTO);
	json_reader_free(reader);
	reader = parse("{\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}");
	assert_int_equal(json_reader_secret(reader, "k", JSON_BASE64, 32, &secret), 0);
	assert_int_equal(secret_bytes(secret).size, 32);
	secret_drop(secret);
	json_reader_free(reader);
}

static void json_text_escapes_and_nests(void **state)
{
	char buffer[256];
	struct json_text json;
	struct bytes text;

	json_text_begin(&json, buffer, sizeof(buffer));
	json_text_string(&json, "a", "q\"b\\c\n");
	json_text_open(&json, "o");
	json_text_number(&json, "n", -5);
	json_text_bool(&json, "t", true);
	json_text_close(&json);
	json_text_base64(&json, "b", (struct bytes){ (const uint8_t *)"\xff\xfe", 2 });
	json_text_base64url(&json, "u", (struct bytes){ (const uint8_t *)"\xff\xfe", 2 });
	text = json_text_end(&json);
	assert_non_null(text.data);
	assert_int_equal(text.size,
			 strlen("{\"a\":\"q\\\"b\\\\c\\u000a\",\"o\":{\"n\":-5,\"t\":true},"
				"\"b\":\"//4=\",\"u\":\"__4\"}"));
	assert_memory_equal(text.data,
			    "{\"a\":\"q\\\"b\\\\c\\u000a\",\"o\":{\"n\":-5,\"t\":true},"
			    "\"b\":\"//4=\",\"u\":\"__4\"}",
			    text.size);
}

static void json_text_remembers_that_something_did_not_fit(void **state)
{
	char buffer[64];

	for (size_t capacity = 0; capacity < 20; capacity++) {
		struct json_text json;

		json_text_begin(&json, buffer, capacity);
		json_text_base64(&json, "secret", (struct bytes){ (const uint8_t *)"abcdef", 6 });
		assert_null(json_text_end(&json).data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_reader_refuses_what_is_not_one_object),
		cmocka_unit_test(json_reader_finds_members_by_path),
		cmocka_unit_test(json_reader_decodes_bytes_strictly),
		cmocka_unit_test(json_text_escapes_and_nests),
		cmocka_unit_test(json_text_remembers_that_something_did_not_fit),
	};

	return secret_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
