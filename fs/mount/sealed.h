/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed snapshots in the mount: what is in one, its manifest says.  Names, attributes and targets need nothing from below;
 * content is opened there and compared.
 *
 *   if (scope.sealed) {
 *           CLEANUP(sealed_at_cleanup) struct sealed_at at = SEALED_NOWHERE;
 *           int r = sealed_find(&scope, &at);
 *
 * The scope stays entered while what it has found is used.  Everything here may return -EBADMSG, -EAGAIN and the key's errors.
 */
#ifndef SNAPCRYPT_FS_MOUNT_SEALED_H
#define SNAPCRYPT_FS_MOUNT_SEALED_H

#include "fs/mount/scope.h"
#include "fs/store/sealed_view.h"

/* What the manifest has where a scope is. */
struct sealed_at {
	struct sealed_view *view;
	uint64_t index;
	struct manifest_object object;
};

#define SEALED_NOWHERE       \
	{                    \
		.view = NULL \
	}

/* Nothing inside of a sealed snapshot ever changes; a withdrawn key and a deletion are told to the kernel. */
#define SEALED_TIMEOUT_S 1e9

/* -ESTALE: it is not in the manifest, or another snapshot is there by now. */
MUST_CHECK int sealed_find(const struct scope *scope, struct sealed_at *ret_at);
void sealed_at_cleanup(struct sealed_at *at);

/* ---- Answers ------------------------------------------------------------------------------------------------------- */

/* Look NAME up in the directory AT and count the lookup.  -ENOENT. */
MUST_CHECK int sealed_entry_by_name(const struct scope *scope, const struct sealed_at *at,
				    const char *name, struct fuse_entry_param *ret_entry);
/* The same for an entry that was listed. */
MUST_CHECK int sealed_entry(const struct scope *scope, const struct sealed_at *at,
			    const struct sealed_entry *found, struct fuse_entry_param *ret_entry);

/*
 * Attributes of what SCOPE is at.  The directory of a snapshot can be asked while its manifest cannot be read: then as it is
 * below, and for no time.
 */
MUST_CHECK int sealed_attr(const struct scope *scope, struct stat *ret_stat, double *ret_timeout);

/* Of the directory of a snapshot, if it is sealed: replace what is below.  False: it is, and the manifest cannot be read. */
bool sealed_snapshot_attr(struct mount *mount, struct node *node, struct stat *stat);

MUST_CHECK int sealed_readlink(const struct scope *scope,
			       char target[static MANIFEST_TARGET_MAX + 1]);

/* As in getxattr(2) and listxattr(2): SIZE 0 asks. */
MUST_CHECK ssize_t sealed_attribute(const struct scope *scope, const char *name, uint8_t *value,
				    size_t size);
MUST_CHECK ssize_t sealed_attributes(const struct scope *scope, char *names, size_t size);

/* The entry at POSITION of the directory AT, "." and ".." first: 1, or 0 at the end. */
MUST_CHECK int sealed_entry_next(const struct sealed_at *at, off_t position,
				 struct sealed_entry *ret_entry);

/* ---- What is below (sealed_below.c) ------------------------------------------------------------------------------ */

/* Have the content of OPEN open, for reading. */
MUST_CHECK int sealed_open(const struct scope *scope, struct open_file *open);

/* Link what SCOPE is at to NEW_NAME in TO.  -EBADMSG: it is not what was sealed, in content or in what is said about it. */
MUST_CHECK int sealed_link(const struct scope *scope, const struct scope *to, const char *new_name,
			   struct fuse_entry_param *ret_entry);

/* Say once of a node that what is below is not what was sealed. */
void sealed_report(struct mount *mount, struct node *node, const char *class, const char *text);

#endif
