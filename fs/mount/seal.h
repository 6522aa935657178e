/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount does when a snapshot of it is sealed: fs/store/seal.h. */
#ifndef SNAPCRYPT_FS_MOUNT_SEAL_H
#define SNAPCRYPT_FS_MOUNT_SEAL_H

#include "fs/mount/fuse.h"
#include "fs/mount/mount.h"
#include "fs/store/seal.h"

/* The options of snapshot_seal() for MOUNT. */
struct seal_options mount_seal_options(struct mount *mount, bool seals_dependencies);

/* The attribute that seals the snapshot directory which it is set on. */
#define MOUNT_SEAL_ATTRIBUTE "user.snapcrypt.seal"

/* Seal the snapshot whose directory is the node ID; call it without a lock.  0 also where it is sealed already. */
MUST_CHECK int mount_seal_node(struct mount *mount, fuse_ino_t id);

/* `seal_on = rename`: does this rename finish a snapshot?  NAME.partial becomes NAME. */
bool mount_seals_rename(const struct mount *mount, const char *name, const char *new_name);

/* `seal_on = unmount`: seal what this mount has written, after everything was closed.  What fails stays open, and is reported. */
void mount_seal_written(struct mount *mount);

#endif
