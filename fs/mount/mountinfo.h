/* SPDX-License-Identifier: Apache-2.0 */
/* What is mounted where, from /proc/self/mountinfo: asking a path itself could hang on a mount that does not answer. */
#ifndef SNAPCRYPT_FS_MOUNT_MOUNTINFO_H
#define SNAPCRYPT_FS_MOUNT_MOUNTINFO_H

#include <stdbool.h>

#include "meta/macros.h"

#define MOUNT_TYPE "fuse.snapcrypt"

struct mountinfo {
	char device[32]; /* "0:57" */
	char type[64];
	char source[4096];
};

/* The uppermost mount at MOUNTPOINT (absolute).  -ENOENT: none. */
MUST_CHECK int mountinfo_find(const char *mountpoint, struct mountinfo *ret_entry);

/* Is it a mount of ours? */
bool mountinfo_is_ours(const struct mountinfo *entry);

#endif
