/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meta/uuid.h"

static const struct uuid sample = { { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23,
				      0x45, 0x67, 0x89, 0xab, 0xcd, 0xef } };
static const char sample_text[] = "01234567-89ab-cdef-0123-456789abcdef";

static void uuid_formats_and_parses(void **state)
{
	char text[UUID_TEXT_SIZE];
	struct uuid uuid;

	uuid_format(&sample, text);
	assert_string_equal(text, sample_text);
	assert_int_equal(uuid_parse(text, &uuid), 0);
	assert_true(uuid_equal(&uuid, &sample));
}

static void uuid_parse_rejects_every_other_character(void **state)
{
	for (size_t i = 0; i < sizeof(sample_text) - 1; i++) {
		static const char wrong[] = {
			'A', 'F', 'g', ' ', '/', ':', '`', '{', '\0', '-', '0'
		};

		for (size_t w = 0; w < sizeof(wrong); w++) {
			char text[UUID_TEXT_SIZE];
			struct uuid uuid = sample;

			memcpy(text, sample_text, sizeof(text));
			if ((text[i] == '-') == (wrong[w] == '-') &&
			    (wrong[w] == '-' || wrong[w] == '0'))
				continue;
			text[i] = wrong[w];
			assert_int_equal(uuid_parse(text, &uuid), -EBADMSG);
			assert_true(uuid_equal(&uuid, &sample));
		}
	}
}

static void uuid_parse_rejects_other_lengths(void **state)
{
	struct uuid uuid;

	assert_int_equal(uuid_parse("", &uuid), -EBADMSG);
	assert_int_equal(uuid_parse("01234567-89ab-cdef-0123-456789abcde", &uuid), -EBADMSG);
	assert_int_equal(uuid_parse("01234567-89ab-cdef-0123-456789abcdef0", &uuid), -EBADMSG);
	assert_int_equal(uuid_parse("0123456789abcdef0123456789abcdef", &uuid), -EBADMSG);
	assert_int_equal(uuid_parse("{01234567-89ab-cdef-0123-456789abcdef}", &uuid), -EBADMSG);
}

static void uuid_compares(void **state)
{
	const struct uuid zero = { { 0 } };
	struct uuid last = zero;

	last.bytes[15] = 1;
	assert_true(uuid_is_zero(&zero));
	assert_false(uuid_is_zero(&last));
	assert_false(uuid_equal(&zero, &last));
	assert_true(uuid_compare(&zero, &last) < 0);
	assert_true(uuid_compare(&sample, &last) > 0);
	assert_int_equal(uuid_compare(&sample, &sample), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uuid_formats_and_parses),
		cmocka_unit_test(uuid_parse_rejects_every_other_character),
		cmocka_unit_test(uuid_parse_rejects_other_lengths),
		cmocka_unit_test(uuid_compares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
