/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes of backing objects as the mount shows them, with what identifies their inode. */
#ifndef SNAPCRYPT_FS_MOUNT_ATTR_H
#define SNAPCRYPT_FS_MOUNT_ATTR_H

#include <sys/stat.h>

#include "fs/mount/node.h"
#include "fs/store/place.h"

struct attr {
	struct stat stat;
	struct node_identity identity;
};

/* Of BACKING in PLACE, never following; st_size is the plain size.  -ESTALE: on another filesystem than PLACE. */
MUST_CHECK int attr_read(const struct place *place, const char *backing, struct attr *ret_attr);

/* Of an open descriptor, as it is below: st_size is not translated. */
MUST_CHECK int attr_read_fd(int fd, struct attr *ret_attr);

#endif
