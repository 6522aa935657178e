/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of entries; for fs/store/entry*.c only. */
#ifndef SNAPCRYPT_FS_STORE_ENTRY_INTERNAL_H
#define SNAPCRYPT_FS_STORE_ENTRY_INTERNAL_H

#include <limits.h>
#include <stdbool.h>

#include "fs/store/entry.h"

/* Are the directories in PLACE snapshots? */
bool entry_is_snapshot_level(const struct place *place);

/* The backing path of NAME in PLACE below the root.  -ENAMETOOLONG. */
MUST_CHECK int entry_path(const struct place *place, const char *name, char path[static PATH_MAX]);

/*
 * Remove a snapshot directory that holds nothing but its identity: into .snapcrypt/tmp at once, so
 * that a crash leaves it whole or gone.  Its key records stay.
 *
 * -ENOTEMPTY; -EROFS, -EACCES: its state forbids it.
 */
MUST_CHECK int entry_remove_snapshot(const struct place *parent, const char *name);

/*
 * May the snapshot directory NAME get another name?  -EACCES: foreign; -EROFS: duplicate, plaintext.
 *
 *   ret_snapshot   snapshot_put()
 */
MUST_CHECK int entry_open_snapshot(const struct place *parent, const char *name,
				   struct snapshot **ret_snapshot);

#endif
