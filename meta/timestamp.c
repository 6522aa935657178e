/* SPDX-License-Identifier: Apache-2.0 */
/* Times as text: RFC 3339 in records, local time on the command line. */
#include "meta/timestamp.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct clock_fields {
	unsigned int year;
	unsigned int month;
	unsigned int day;
	unsigned int hour;
	unsigned int minute;
	unsigned int second;
};

static bool is_leap_year(unsigned int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned int days_of_month(unsigned int year, unsigned int month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap_year(year) ? 1U : 0U);
}

/* Days from 1970-01-01.  Years begin in March here, so that the leap day is the last one. */
static int64_t days_from_epoch(unsigned int year, unsigned int month, unsigned int day)
{
	int64_t y = (int64_t)year - (month <= 2 ? 1 : 0);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t shifted = month > 2 ? month - 3 : month + 9;
	int64_t day_of_year = (153 * shifted + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

static bool fields_are_valid(const struct clock_fields *fields)
{
	return fields->month >= 1 && fields->month <= 12 && fields->day >= 1 &&
	       fields->day <= days_of_month(fields->year, fields->month) && fields->hour <= 23 &&
	       fields->minute <= 59 && fields->second <= 59;
}

static int64_t fields_to_time(const struct clock_fields *fields)
{
	return days_from_epoch(fields->year, fields->month, fields->day) * 86400 +
	       (int64_t)fields->hour * 3600 + (int64_t)fields->minute * 60 + fields->second;
}

/* Read exactly COUNT digits and move on. */
static bool take_digits(const char **next, int count, unsigned int *ret_value)
{
	unsigned int value = 0;

	for (int i = 0; i < count; i++) {
		char digit = (*next)[i];

		if (digit < '0' || digit > '9')
			return false;
		value = value * 10 + (unsigned int)(digit - '0');
	}
	*next += count;
	*ret_value = value;
	return true;
}

static bool take_char(const char **next, char expected)
{
	if (**next != expected)
		return false;
	(*next)++;
	return true;
}

static bool take_date(const char **next, struct clock_fields *fields)
{
	return take_digits(next, 4, &fields->year) && take_char(next, '-') &&
	       take_digits(next, 2, &fields->month) && take_char(next, '-') &&
	       take_digits(next, 2, &fields->day);
}

static bool take_minutes(const char **next, struct clock_fields *fields)
{
	return take_digits(next, 2, &fields->hour) && take_char(next, ':') &&
	       take_digits(next, 2, &fields->minute);
}

static bool take_seconds(const char **next, struct clock_fields *fields)
{
	return take_char(next, ':') && take_digits(next, 2, &fields->second);
}

/* 1 to 9 digits after the point. */
static bool take_fraction(const char **next, long *ret_ns)
{
	long ns = 0;
	int count = 0;

	for (; **next >= '0' && **next <= '9'; (*next)++) {
		if (++count > 9)
			return false;
		ns = ns * 10 + (**next - '0');
	}
	if (count == 0)
		return false;
	for (; count < 9; count++)
		ns *= 10;
	*ret_ns = ns;
	return true;
}

int timestamp_format(int64_t time_s, char text[static TIMESTAMP_TEXT_SIZE])
{
	time_t seconds = (time_t)time_s;
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
		return -ERANGE;
	return strftime(text, TIMESTAMP_TEXT_SIZE, "%4Y-%m-%dT%H:%M:%SZ", &tm) > 0 ? 0 : -ERANGE;
}

int timestamp_parse(const char *text, struct timespec *ret_time)
{
	struct clock_fields fields = { 0 };
	const char *next = text;
	long ns = 0;

	if (!take_date(&next, &fields) || !take_char(&next, 'T') || !take_minutes(&next, &fields) ||
	    !take_seconds(&next, &fields))
		return -EBADMSG;
	if (take_char(&next, '.') && !take_fraction(&next, &ns))
		return -EBADMSG;
	if (!take_char(&next, 'Z') || *next != '\0' || !fields_are_valid(&fields))
		return -EBADMSG;
	*ret_time = (struct timespec){ .tv_sec = fields_to_time(&fields), .tv_nsec = ns };
	return 0;
}

int timestamp_parse_s(const char *text, int64_t *ret_time_s)
{
	struct timespec time;

	if (strlen(text) != TIMESTAMP_TEXT_SIZE - 1)
		return -EBADMSG;

	int r = timestamp_parse(text, &time);

	if (r < 0)
		return r;
	*ret_time_s = time.tv_sec;
	return 0;
}

/* YYYY-MM-DD[ HH:MM[:SS]] */
static bool take_local(const char *text, struct clock_fields *fields)
{
	const char *next = text;

	if (!take_date(&next, fields))
		return false;
	if (*next == '\0')
		return fields_are_valid(fields);
	if ((!take_char(&next, ' ') && !take_char(&next, 'T')) || !take_minutes(&next, fields))
		return false;
	if (*next != '\0' && !take_seconds(&next, fields))
		return false;
	return *next == '\0' && fields_are_valid(fields);
}

int timestamp_parse_local(const char *text, int64_t *ret_time_s)
{
	struct clock_fields fields = { 0 };
	struct timespec utc;

	if (timestamp_parse(text, &utc) == 0) {
		*ret_time_s = utc.tv_sec;
		return 0;
	}
	if (!take_local(text, &fields))
		return -EINVAL;

	struct tm tm = {
		.tm_year = (int)fields.year - 1900,
		.tm_mon = (int)fields.month - 1,
		.tm_mday = (int)fields.day,
		.tm_hour = (int)fields.hour,
		.tm_min = (int)fields.minute,
		.tm_sec = (int)fields.second,
		.tm_isdst = -1,
	};

	/* -1 is also a time; mktime() sets the day of the week only where it succeeds. */
	tm.tm_wday = -1;

	time_t seconds = mktime(&tm);

	if (tm.tm_wday < 0)
		return -EINVAL;
	*ret_time_s = seconds;
	return 0;
}
