/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount does when a snapshot of it is sealed: fs/store/seal.h. */
#ifndef SNAPCRYPT_FS_MOUNT_SEAL_H
#define SNAPCRYPT_FS_MOUNT_SEAL_H

#include "fs/mount/mount.h"
#include "fs/store/seal.h"

/* The options of snapshot_seal() for MOUNT. */
struct seal_options mount_seal_options(struct mount *mount, bool seals_dependencies);

#endif
