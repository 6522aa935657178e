/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdlib.h>

#include "meta/timestamp.h"

struct moment {
	const char *text;
	int64_t time_s;
};

static const struct moment moments[] = {
	{ "1970-01-01T00:00:00Z", 0 },
	{ "1969-12-31T23:59:59Z", -1 },
	{ "2000-02-29T12:00:00Z", 951825600 },
	{ "2026-11-24T03:04:05Z", 1795489445 },
	{ "2038-01-19T03:14:08Z", 2147483648 },
	{ "0000-01-01T00:00:00Z", -62167219200 },
	{ "9999-12-31T23:59:59Z", 253402300799 },
};

static void timestamp_formats_and_parses(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(moments); i++) {
		char text[TIMESTAMP_TEXT_SIZE];
		int64_t time_s = 7;

		assert_int_equal(timestamp_format(moments[i].time_s, text), 0);
		assert_string_equal(text, moments[i].text);
		assert_int_equal(timestamp_parse_s(text, &time_s), 0);
		assert_true(time_s == moments[i].time_s);
	}
}

static void timestamp_agrees_with_gmtime_on_every_kind_of_day(void **state)
{
	/* One day of every week from 1600 to 2600. */
	for (int64_t time_s = -11676096000; time_s < 19880899200; time_s += 7 * 86400 + 1) {
		char text[TIMESTAMP_TEXT_SIZE];
		int64_t back;

		assert_int_equal(timestamp_format(time_s, text), 0);
		assert_int_equal(timestamp_parse_s(text, &back), 0);
		assert_true(back == time_s);
	}
}

static void timestamp_format_refuses_five_digit_years(void **state)
{
	char text[TIMESTAMP_TEXT_SIZE];

	assert_int_equal(timestamp_format(253402300800, text), -ERANGE);
	assert_int_equal(timestamp_format(-62167219201, text), -ERANGE);
	assert_int_equal(timestamp_format(INT64_MAX, text), -ERANGE);
	assert_int_equal(timestamp_format(INT64_MIN, text), -ERANGE);
}

static void timestamp_parse_reads_fractions(void **state)
{
	struct timespec time;
	int64_t time_s;

	assert_int_equal(timestamp_parse("2026-11-24T03:04:05.5Z", &time), 0);
	assert_int_equal(time.tv_nsec, 500000000);
	assert_int_equal(timestamp_parse("2026-11-24T03:04:05.000000001Z", &time), 0);
	assert_int_equal(time.tv_nsec, 1);
	assert_int_equal(time.tv_sec, 1795489445);
	assert_int_equal(timestamp_parse("2026-11-24T03:04:05.0000000001Z", &time), -EBADMSG);
	assert_int_equal(timestamp_parse("2026-11-24T03:04:05.Z", &time), -EBADMSG);
	assert_int_equal(timestamp_parse_s("2026-11-24T03:04:05.5Z", &time_s), -EBADMSG);
}

static void timestamp_parse_rejects_every_other_form(void **state)
{
	static const char *const wrong[] = {
		"",
		"2026-11-24",
		"2026-11-24T03:04Z",
		"2026-11-24T03:04:05",
		"2026-11-24T03:04:05z",
		"2026-11-24t03:04:05Z",
		"2026-11-24 03:04:05Z",
		"2026-11-24T03:04:05+00:00",
		"2026-11-24T03:04:05Z ",
		" 2026-11-24T03:04:05Z",
		"2026-13-24T03:04:05Z",
		"2026-00-24T03:04:05Z",
		"2026-11-31T03:04:05Z",
		"2026-11-00T03:04:05Z",
		"2026-02-29T03:04:05Z",
		"1900-02-29T03:04:05Z",
		"2026-11-24T24:00:00Z",
		"2026-11-24T03:60:05Z",
		"2026-11-24T03:04:60Z",
		"26-11-24T03:04:05Z",
		"+026-11-24T03:04:05Z",
		"2026-1-24T03:04:05Z",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct timespec time;

		assert_int_equal(timestamp_parse(wrong[i], &time), -EBADMSG);
	}
}

static void timestamp_parse_local_uses_the_time_zone(void **state)
{
	int64_t time_s;

	setenv("TZ", "EST5", 1);
	tzset();
	assert_int_equal(timestamp_parse_local("2026-11-24", &time_s), 0);
	assert_int_equal(time_s, 1795478400 + 5 * 3600);
	assert_int_equal(timestamp_parse_local("2026-11-24 03:04", &time_s), 0);
	assert_int_equal(time_s, 1795489440 + 5 * 3600);
	assert_int_equal(timestamp_parse_local("2026-11-24T03:04:05", &time_s), 0);
	assert_int_equal(time_s, 1795489445 + 5 * 3600);
	assert_int_equal(timestamp_parse_local("2026-11-24T03:04:05Z", &time_s), 0);
	assert_int_equal(time_s, 1795489445);

	setenv("TZ", "UTC0", 1);
	tzset();
	assert_int_equal(timestamp_parse_local("1969-12-31 23:59:59", &time_s), 0);
	assert_int_equal(time_s, -1);
}

static void timestamp_parse_local_rejects_every_other_form(void **state)
{
	static const char *const wrong[] = {
		"",
		"today",
		"2026-11-24 ",
		"2026-11-24 03",
		"2026-11-24 03:04:",
		"2026-11-24 3:04",
		"2026-11-31",
		"2026-11-24 25:00",
		"2026-11-24x",
		"2026-11-24 03:04:05 CET",
		"24.11.2026",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		int64_t time_s;

		assert_int_equal(timestamp_parse_local(wrong[i], &time_s), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timestamp_formats_and_parses),
		cmocka_unit_test(timestamp_agrees_with_gmtime_on_every_kind_of_day),
		cmocka_unit_test(timestamp_format_refuses_five_digit_years),
		cmocka_unit_test(timestamp_parse_reads_fractions),
		cmocka_unit_test(timestamp_parse_rejects_every_other_form),
		cmocka_unit_test(timestamp_parse_local_uses_the_time_zone),
		cmocka_unit_test(timestamp_parse_local_rejects_every_other_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
