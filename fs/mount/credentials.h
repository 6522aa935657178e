/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As whom the daemon acts.  Objects are created under the caller's umask, fsuid and fsgid, so that setgid directories,
 * default ACLs and quotas work; all else is done with the daemon's own, after the kernel has checked permissions.
 */
#ifndef SNAPCRYPT_FS_MOUNT_CREDENTIALS_H
#define SNAPCRYPT_FS_MOUNT_CREDENTIALS_H

#include <stdbool.h>
#include <sys/types.h>

#include "fs/mount/fuse.h"

struct credentials {
	bool is_switched;
};

/* Act as CTX on this thread until credentials_restore(), which CLEANUP can do. */
struct credentials credentials_assume(const struct fuse_ctx *ctx);
void credentials_restore(struct credentials *credentials);

#endif
