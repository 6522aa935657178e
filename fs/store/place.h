/* SPDX-License-Identifier: Apache-2.0 */
/* Where an operation happens: an opened backing directory and what it belongs to. */
#ifndef SNAPCRYPT_FS_STORE_PLACE_H
#define SNAPCRYPT_FS_STORE_PLACE_H

#include "fs/store/snapshot.h"

#define BACKING_NAME_SIZE 256 /* with NUL */

/*
 *   snapshot   borrowed; the root snapshot above and at snapshot depth
 *   fd         the backing directory (O_PATH is enough)
 *   depth      components below the volume's root: 0 is the root itself.  Entries of a directory with depth ==
 *              snapshot_depth - 1 that are directories are snapshots
 *   path       backing path below the root, for messages and journal hints; "" for the root
 */
struct place {
	struct store *store;
	struct snapshot *snapshot;
	int fd;
	unsigned depth;
	const char *path;
};

#endif
