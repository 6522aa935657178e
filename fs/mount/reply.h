/* SPDX-License-Identifier: Apache-2.0 */
/* How operations fail: one place that turns our errors into those of the mount, parks what waits for a key, and logs. */
#ifndef SNAPCRYPT_FS_MOUNT_REPLY_H
#define SNAPCRYPT_FS_MOUNT_REPLY_H

#include "fs/mount/scope.h"

/* The errno (positive) that users see for CODE (negative): meta/NAMES.md, "Errors in the mount". */
int op_errno(int code);

/*
 * Answer REQ, which failed with CODE at NODE (NULL: unknown).  -EAGAIN parks it until the key it wants has an outcome.
 * Call it without locks.
 */
void reply_failure(fuse_req_t req, int code, const struct node *node);

/* Answer with CODE, which may be 0. */
void reply_result(fuse_req_t req, int code, const struct node *node);

/* Log a failure that no request will hear of. */
void reply_log(struct mount *mount, int code, const struct node *node, const char *what);

#endif
