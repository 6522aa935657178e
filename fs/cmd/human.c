/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and times in tables, for people. */
#include "fs/cmd/human.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "meta/macros.h"

const char *human_bytes(uint64_t bytes, char text[static HUMAN_SIZE])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(text, HUMAN_SIZE, "%" PRIu64 " B", bytes);
		return text;
	}
	while (value >= 1023.95 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(text, HUMAN_SIZE, "%.1f %s", value, units[unit]);
	return text;
}

const char *human_number(uint64_t number, char text[static HUMAN_SIZE])
{
	snprintf(text, HUMAN_SIZE, "%" PRIu64, number);
	return text;
}

const char *human_time(int64_t time_s, char text[static HUMAN_SIZE])
{
	const time_t time = (time_t)time_s;
	struct tm local;

	if (time_s == 0 || localtime_r(&time, &local) == NULL ||
	    strftime(text, HUMAN_SIZE, "%Y-%m-%d %H:%M:%S", &local) == 0)
		strcpy(text, "-");
	return text;
}

const char *human_age(int64_t time_s, char text[static HUMAN_SIZE])
{
	const int64_t age_s = (int64_t)time(NULL) - time_s;

	if (time_s == 0 || age_s < 0)
		strcpy(text, "-");
	else if (age_s < 60 * 60)
		snprintf(text, HUMAN_SIZE, "%" PRId64 " min", age_s / 60);
	else if (age_s < 48 * 60 * 60)
		snprintf(text, HUMAN_SIZE, "%" PRId64 " h", age_s / (60 * 60));
	else
		snprintf(text, HUMAN_SIZE, "%" PRId64 " d", age_s / (24 * 60 * 60));
	return text;
}
