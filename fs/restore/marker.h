/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The marker that stands in a target while it is restored into: which snapshot, since when.  It is removed at the end, so a
 * target without one is whole.
 */
#ifndef SNAPCRYPT_FS_RESTORE_MARKER_H
#define SNAPCRYPT_FS_RESTORE_MARKER_H

#include <stdbool.h>
#include <time.h>

#include "meta/macros.h"
#include "meta/uuid.h"

#define MARKER_NAME ".snapcrypt-restore.json"

/*
 *   is_there    an earlier restore of the same snapshot was interrupted
 *   can_skip    what it had finished is known to be whole: the system has run since, and nothing was replaced
 *   started     by the target's own clock
 */
struct marker {
	struct uuid volume;
	struct uuid snapshot;
	bool replaces;
	bool is_there;
	bool can_skip;
	struct timespec started;
};

/* Look for one: volume and snapshot are given.  0 also where there is none; -EEXIST: of another snapshot. */
MUST_CHECK int marker_find(int target_fd, struct marker *marker);

/* Make one, where there is none. */
MUST_CHECK int marker_write(int target_fd, const struct marker *marker);
MUST_CHECK int marker_remove(int target_fd);

#endif
