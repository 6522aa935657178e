/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling the kernel to forget what it has cached.  A notification can wait for requests that we still have to answer, so
 * one thread that serves nothing and holds no lock sends them all, in order.
 */
#ifndef SNAPCRYPT_FS_MOUNT_INVALIDATE_H
#define SNAPCRYPT_FS_MOUNT_INVALIDATE_H

#include <stdint.h>
#include <sys/types.h>

#include "fs/mount/fuse.h"
#include "meta/macros.h"

struct notifier;

MUST_CHECK int notifier_create(struct fuse_session *session, struct notifier **ret_notifier);
void notifier_free(struct notifier *notifier); /* sends what is queued; accepts NULL */

/* Forget cached data of an inode; size 0: all of it, and its attributes. */
void notifier_inode(struct notifier *notifier, uint64_t node, off_t offset, off_t size);

/* Forget an entry and everything below it. */
void notifier_entry(struct notifier *notifier, uint64_t parent, const char *name);

/*
 * A direct WRITE of SIZE bytes has changed what the page cache holds: forget the range, then answer it.  So a reader who saw
 * the write return does not see older data.
 */
void notifier_reply_write(struct notifier *notifier, fuse_req_t req, uint64_t node, off_t offset,
			  size_t size);

/* Wait until everything queued so far was sent. */
void notifier_drain(struct notifier *notifier);

#endif
