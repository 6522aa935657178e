/* SPDX-License-Identifier: Apache-2.0 */
/* Putting a session into the mount table and taking it out again. */
#ifndef SNAPCRYPT_FS_MOUNT_ATTACH_H
#define SNAPCRYPT_FS_MOUNT_ATTACH_H

#include <stddef.h>

#include "fs/mount/session.h"

/* Flags of mount(2) for OPTIONS.  -EINVAL: UNKNOWN is an option that is none of the kernel's. */
MUST_CHECK int attach_flags(const struct mount_options *options, unsigned long *ret_flags,
			    char *unknown, size_t size);

/* Make the session and mount it; nothing is served yet. */
MUST_CHECK int attach(struct mount *mount, unsigned long flags);

/* Once mounted: find out the device number, set the kernel's read-ahead. */
void attach_settle(struct mount *mount);

/* Detach the mount if it is still there. */
void detach(struct mount *mount);

#endif
