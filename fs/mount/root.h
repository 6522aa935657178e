/* SPDX-License-Identifier: Apache-2.0 */
/* The directory that a mount shows: the volume's root, or one snapshot. */
#ifndef SNAPCRYPT_FS_MOUNT_ROOT_H
#define SNAPCRYPT_FS_MOUNT_ROOT_H

#include "fs/mount/mount.h"
#include "fs/store/place.h"

/*
 * Find it.  RET_PLACE: its descriptor, a reference to its snapshot and its path (free()) become the caller's.
 * With one snapshot its key is tested, and that it is sealed where it must be.
 */
MUST_CHECK int root_open(struct store *store, const struct mount_options *options,
			 struct place *ret_place, struct store_error *reterr);

#endif
