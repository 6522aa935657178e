/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "meta/records/labels_record.h"

#define HEAD                                                     \
	"{\"type\":\"labels\",\"format\":1,\"generation\":2,"    \
	"\"volume\":\"8f14e45f-ceea-467f-a0e6-8a2d1c9b3f52\","   \
	"\"snapshot\":\"1679091c-5a88-4faf-afb5-e6087eb1b2dc\"," \
	"\"written\":\"2026-11-24T03:04:05Z\","

static void labels_encode_and_decode(void **state)
{
	struct labels_record record = { .generation = 3, .written_s = 1795489445 };
	struct labels_record copy = { 0 };
	char *line = NULL;

	(void)state;
	record.keep_until_s = 1795489445 + 86400;
	assert_int_equal(labels_record_add_tag(&record, "database=orders"), 0);
	assert_int_equal(labels_record_add_tag(&record, "monthly"), 0);
	assert_int_equal(labels_record_add_hold(&record, "audit", "case 4711", 1795489445), 0);
	assert_int_equal(labels_record_encode(&record, &line), 0);
	assert_int_equal(labels_record_decode(bytes_from_text(line), &copy), 0);
	assert_int_equal(copy.generation, 3);
	assert_int_equal(copy.tag_count, 2);
	assert_string_equal(copy.tags[0], "database=orders");
	assert_string_equal(copy.tags[1], "monthly");
	assert_int_equal(copy.hold_count, 1);
	assert_string_equal(copy.holds[0].name, "audit");
	assert_string_equal(copy.holds[0].reason, "case 4711");
	assert_true(copy.holds[0].since_s == 1795489445);
	assert_true(copy.keep_until_s == record.keep_until_s);
	free(line);
	labels_record_free(&record);
	labels_record_free(&copy);
}

static void labels_are_added_once_and_removed_by_name(void **state)
{
	struct labels_record record = { 0 };
	char name[16];

	(void)state;
	assert_int_equal(labels_record_add_tag(&record, "a=1"), 0);
	assert_int_equal(labels_record_add_tag(&record, "a=2"), -EEXIST);
	assert_int_equal(labels_record_add_tag(&record, "ab"), 0);
	assert_int_equal(labels_record_add_tag(&record, ""), -EINVAL);
	assert_int_equal(labels_record_add_tag(&record, "=x"), -EINVAL);
	assert_int_equal(labels_record_add_tag(&record, "new\nline"), -EINVAL);
	assert_int_equal(labels_record_remove_tag(&record, "a"), 0);
	assert_int_equal(labels_record_remove_tag(&record, "a"), -ENOENT);
	assert_string_equal(record.tags[0], "ab");
	for (unsigned i = 0; i < LABELS_HOLDS_MAX; i++) {
		snprintf(name, sizeof(name), "hold-%u", i);
		assert_int_equal(labels_record_add_hold(&record, name, "", 0), 0);
	}
	assert_int_equal(labels_record_add_hold(&record, "one more", "", 0), -E2BIG);
	assert_int_equal(labels_record_add_hold(&record, "hold-7", "", 0), -EEXIST);
	assert_int_equal(labels_record_remove_hold(&record, "hold-7"), 0);
	assert_int_equal(labels_record_remove_hold(&record, "hold-7"), -ENOENT);
	labels_record_free(&record);
}

static void malformed_labels_are_rejected(void **state)
{
	static const struct {
		const char *line;
		int expected;
	} cases[] = {
		{ HEAD "\"tags\":[],\"holds\":[]}", 0 },
		{ HEAD "\"tags\":[],\"holds\":[],\"more\":1}", 0 },
		{ HEAD "\"tags\":[],\"holds\":[],\"more\":1,\"critical\":[\"more\"]}", -ENOTSUP },
		{ HEAD "\"tags\":[]}", -EBADMSG },
		{ HEAD "\"holds\":[]}", -EBADMSG },
		{ HEAD "\"tags\":[1],\"holds\":[]}", -EBADMSG },
		{ HEAD "\"tags\":[\"a\",\"a\"],\"holds\":[]}", -EBADMSG },
		{ HEAD "\"tags\":[\"a\\u0000b\"],\"holds\":[]}", -EBADMSG },
		{ HEAD "\"tags\":[],\"holds\":[{\"name\":\"x\",\"reason\":\"\"}]}", -EBADMSG },
		{ HEAD "\"tags\":[],\"holds\":[7]}", -EBADMSG },
		{ HEAD "\"tags\":[],\"holds\":[],\"keep_until\":\"soon\"}", -EBADMSG },
		{ "{\"type\":\"labels\",\"format\":2}", -ENOTSUP },
		{ "{\"type\":\"seal\",\"format\":1}", -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct labels_record record = { 0 };
		const int r = labels_record_decode(bytes_from_text(cases[i].line), &record);

		if (r != cases[i].expected)
			fail_msg("case %zu: %d, not %d", i, r, cases[i].expected);
		if (r == 0)
			labels_record_free(&record);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labels_encode_and_decode),
		cmocka_unit_test(labels_are_added_once_and_removed_by_name),
		cmocka_unit_test(malformed_labels_are_rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
