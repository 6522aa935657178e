/* SPDX-License-Identifier: Apache-2.0 */
/* Values of the configuration as text: sizes, durations, yes and no. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/config/config.h"

/* Digits at the beginning of TEXT; *RET_REST is what follows. */
static int parse_number(const char *text, uint64_t *ret_number, const char **ret_rest)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*ret_number = strtoull(text, &end, 10);
	*ret_rest = end;
	return errno ? -EINVAL : 0;
}

int config_parse_size(const char *text, uint64_t *ret_size)
{
	static const char units[] = "KMGT";
	const char *rest, *unit;
	uint64_t size;

	if (parse_number(text, &size, &rest) < 0)
		return -EINVAL;
	if (*rest) {
		unit = strchr(units, *rest);
		if (!unit || (rest[1] && strcmp(rest + 1, "iB") != 0))
			return -EINVAL;
		for (const char *u = units; u <= unit; u++)
			if (__builtin_mul_overflow(size, UINT64_C(1024), &size))
				return -EINVAL;
	}
	*ret_size = size;
	return 0;
}

int config_parse_duration(const char *text, int64_t *ret_duration_s)
{
	static const struct {
		const char *unit;
		int64_t seconds;
	} units[] = { { "", 1 },
		      { "s", 1 },
		      { "m", 60 },
		      { "h", 3600 },
		      { "d", 86400 },
		      { "w", 7 * 86400 },
		      { "y", 365 * INT64_C(86400) } };
	const char *rest;
	uint64_t number;
	int64_t seconds;

	if (!strcmp(text, "none")) {
		*ret_duration_s = -1;
		return 0;
	}
	if (parse_number(text, &number, &rest) < 0 || number > INT64_MAX)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(rest, units[i].unit) != 0)
			continue;
		if (__builtin_mul_overflow((int64_t)number, units[i].seconds, &seconds))
			return -EINVAL;
		*ret_duration_s = seconds;
		return 0;
	}
	return -EINVAL;
}

int config_parse_bool(const char *text, bool *ret_value)
{
	if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
		return -EINVAL;
	*ret_value = text[0] == 'y';
	return 0;
}
