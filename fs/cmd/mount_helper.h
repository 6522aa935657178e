/* SPDX-License-Identifier: Apache-2.0 */
/* mount.snapcrypt and its sisters: what mount(8) and umount(8) call, told apart by the program's name. */
#ifndef SNAPCRYPT_FS_CMD_MOUNT_HELPER_H
#define SNAPCRYPT_FS_CMD_MOUNT_HELPER_H

#include "fs/cmd/command.h"

#define MOUNT_HELPER_NONE (-2)

/*
 * If ARGV[0] names a helper: set the command and its operands.  Returns 0, an exit code of mount(8)
 * after a failure, -1 when help was printed, or MOUNT_HELPER_NONE for any other name.
 */
MUST_CHECK int mount_helper_parse(struct invocation *invocation, int argc, char **argv);

#endif
