/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small process that keeps the one privilege which the daemon gives up at once: it mounts, and unmounts at the end.  It never
 * sees a key.  When the daemon dies it goes too, and leaves the mount dead.
 *
 * Without privileges there is none; libfuse and fusermount3 do its work.
 */
#ifndef SNAPCRYPT_FS_MOUNT_MOUNTER_H
#define SNAPCRYPT_FS_MOUNT_MOUNTER_H

#include <stdbool.h>

#include "meta/macros.h"

struct mounter;

/* Before secrets, threads and the drop of privileges. */
MUST_CHECK int mounter_start(struct mounter **ret_mounter);
void mounter_stop(struct mounter *mounter); /* accepts NULL */

/*
 *   flags     MS_... of mount(2)
 *   options   for the filesystem, but for the descriptor
 */
struct mounter_mount {
	const char *source;
	const char *mountpoint;
	unsigned long flags;
	const char *options;
};

/* Mount; *ret_fd is the descriptor to serve. */
MUST_CHECK int mounter_mount(struct mounter *mounter, const struct mounter_mount *mount,
			     int *ret_fd);

/* Detach the mount of ours at MOUNTPOINT, if it is still the one with this DEVICE ("0:57"; NULL: any). */
MUST_CHECK int mounter_unmount(struct mounter *mounter, const char *mountpoint, const char *device);

#endif
