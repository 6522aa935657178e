/* SPDX-License-Identifier: Apache-2.0 */
/* The one door to libfuse: its low-level interface at the level of Debian 12 (3.14), and the raw protocol. */
#ifndef SNAPCRYPT_FS_MOUNT_FUSE_H
#define SNAPCRYPT_FS_MOUNT_FUSE_H

#ifndef FUSE_USE_VERSION
#define FUSE_USE_VERSION 314
#endif

#include <fuse_lowlevel.h>
#include <linux/fuse.h>

#endif
