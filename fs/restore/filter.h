/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --include and --exclude.
 *
 * A pattern as in fnmatch(3): with a slash (a leading one does not count as content) it is matched against the path below the
 * snapshot, without one against the last component.  What it names counts with all that is below it.
 */
#ifndef SNAPCRYPT_FS_RESTORE_FILTER_H
#define SNAPCRYPT_FS_RESTORE_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#define FILTER_PATTERNS_MAX 64

/* Borrowed texts. */
struct filter {
	const char *includes[FILTER_PATTERNS_MAX];
	size_t include_count;
	const char *excludes[FILTER_PATTERNS_MAX];
	size_t exclude_count;
};

enum filter_answer {
	FILTER_TAKE,
	FILTER_LEAVE,  /* not this one; something below it may be wanted */
	FILTER_REFUSE, /* neither this one nor anything below */
};

/* IS_INSIDE: the directory above was taken because an --include names it or one above. */
enum filter_answer filter_ask(const struct filter *filter, const char *path, const char *name,
			      bool is_inside);

#endif
