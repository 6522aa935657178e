/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an operation happens, for as long as it runs: the namespace held for reading and a directory pinned.
 *
 *   CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
 *   int r = scope_enter(&scope, mount, parent);
 */
#ifndef SNAPCRYPT_FS_MOUNT_SCOPE_H
#define SNAPCRYPT_FS_MOUNT_SCOPE_H

#include <stdbool.h>

#include "fs/mount/attr.h"
#include "fs/mount/session.h"

/*
 *   place      of the directory; valid until scope_leave()
 *   node       what the request is about: the directory, or the object called BACKING in it
 *   backing    "" where the directory itself is meant
 *   sealed     NULL, or the sealed snapshot that NODE is in: what it is, sealed.h tells; borrowed.  Of objects that come
 *              from its manifest nothing is opened below: PLACE has no descriptor and BACKING is ""
 *   is_snapshot   NODE is the directory of that snapshot
 */
struct scope {
	struct mount *mount;
	struct node *node;
	struct node *directory;
	struct place place;
	char backing[BACKING_NAME_SIZE];
	struct snapshot *sealed;
	bool is_snapshot;
	bool is_locked;
	bool is_referenced;
};

#define SCOPE_NONE            \
	{                     \
		.mount = NULL \
	}

/* Inside the directory node ID.  -EACCES: its snapshot is not served (foreign, or not sealed where it must be). */
MUST_CHECK int scope_enter(struct scope *scope, struct mount *mount, fuse_ino_t id);

/* At the object ID, by its parent and backing name; the root of the mount has neither, BACKING is "". */
MUST_CHECK int scope_locate(struct scope *scope, struct mount *mount, fuse_ino_t id);

/* At the object ID as an xattr_target wants it: a directory by itself. */
MUST_CHECK int scope_target(struct scope *scope, struct mount *mount, fuse_ino_t id);

void scope_leave(struct scope *scope);

/* Inside another directory, under a lock that a scope of the caller holds. */
MUST_CHECK int scope_enter_locked(struct scope *scope, fuse_ino_t id);

/* Two directories for a rename: one lock, for writing if IS_EXCLUSIVE. */
struct scope_pair {
	struct scope from;
	struct scope to;
};
MUST_CHECK int scope_enter_pair(struct scope_pair *pair, struct mount *mount, fuse_ino_t from,
				fuse_ino_t to, bool is_exclusive);
void scope_leave_pair(struct scope_pair *pair);

/* 0, or -EROFS: it is in a sealed snapshot. */
MUST_CHECK int scope_may_change(const struct scope *scope);

/* Attributes of what the scope is at, as they are below; files under write: see open_file.h. */
MUST_CHECK int scope_attr(const struct scope *scope, struct attr *ret_attr);

#endif
