/* SPDX-License-Identifier: Apache-2.0 */
/* What the processes of a mount give up before they do anything. */
#ifndef SNAPCRYPT_FS_MOUNT_PRIVILEGES_H
#define SNAPCRYPT_FS_MOUNT_PRIVILEGES_H

#include "meta/macros.h"

/*
 * For this thread and those that it starts afterwards.  Nothing to do without privileges: fusermount3, which then unmounts, could
 * not gain any.  -EPERM: refused by the system.
 */

/* The daemon: acting for every user of the tree, nothing else. */
MUST_CHECK int privileges_drop(void);

/* The mounter: mounting, nothing else. */
MUST_CHECK int privileges_keep_mounting(void);

#endif
