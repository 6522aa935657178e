/* SPDX-License-Identifier: Apache-2.0 */
/* Which paths of a snapshot are wanted. */
#include "fs/restore/filter.h"

#include <fnmatch.h>
#include <string.h>

static bool matches(const char *pattern, const char *path, const char *name)
{
	if (strchr(pattern, '/') == NULL)
		return fnmatch(pattern, name, 0) == 0;
	if (pattern[0] == '/')
		pattern++;
	return fnmatch(pattern, path, FNM_PATHNAME) == 0;
}

static bool matches_any(const char *const *patterns, size_t count, const char *path,
			const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (matches(patterns[i], path, name))
			return true;
	return false;
}

enum filter_answer filter_ask(const struct filter *filter, const char *path, const char *name,
			      bool is_inside)
{
	if (matches_any(filter->excludes, filter->exclude_count, path, name))
		return FILTER_REFUSE;
	if (is_inside || filter->include_count == 0 ||
	    matches_any(filter->includes, filter->include_count, path, name))
		return FILTER_TAKE;
	return FILTER_LEAVE;
}
