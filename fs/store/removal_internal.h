/* SPDX-License-Identifier: Apache-2.0 */
/* For removal*.c and sweep.c only. */
#ifndef SNAPCRYPT_FS_STORE_REMOVAL_INTERNAL_H
#define SNAPCRYPT_FS_STORE_REMOVAL_INTERNAL_H

#include "fs/store/removal.h"
#include "fs/store/snapshot_internal.h"

#define REMOVED_PREFIX "removed-"

/*
 * Put NAME of PARENT_FD out of everybody's sight: into tmp/, under a name of its own; both directories are durable when it returns.
 */
MUST_CHECK int removal_move_aside(struct store *store, int parent_fd, const char *name);

/* Remove everything that removal_move_aside() has ever put there. */
MUST_CHECK int removal_empty(struct store *store);

/* Remove all generations of a data key's record, and its markers: gone for good when it returns. */
MUST_CHECK int removal_drop_dek(struct store *store, const struct uuid *dek_id);

#endif
