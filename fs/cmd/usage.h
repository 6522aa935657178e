/* SPDX-License-Identifier: Apache-2.0 */
/* How much a snapshot holds, counted from backing attributes alone: no key, no file is opened. */
#ifndef SNAPCRYPT_FS_CMD_USAGE_H
#define SNAPCRYPT_FS_CMD_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/format/layout.h"
#include "meta/macros.h"

struct usage {
	uint64_t bytes; /* plain bytes of regular files, each name counted */
	uint64_t files; /* regular files */
};

/*
 *   layout        of the volume; NULL: files are as they are
 *   has_sidecars  encrypted names: NAME.name beside a long name is none of the user's files
 *   skip_depth    directories at this depth below FD are other snapshots; 0: none
 */
struct usage_options {
	const struct layout *layout;
	bool has_sidecars;
	unsigned skip_depth;
};

/* Walk the directory open at FD with a bounded number of threads. */
MUST_CHECK int usage_count(int fd, const struct usage_options *options, struct usage *ret_usage);

#endif
