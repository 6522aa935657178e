/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opened backing directories.  A directory node gets an O_PATH descriptor when an operation needs its place; a bounded
 * number of idle ones is kept, the least recently used is closed first.  Re-opening verifies that it is the same inode.
 *
 * Snapshots stay open for as long as the kernel knows their directory.  Thread-safe; callers hold the namespace lock.
 */
#ifndef SNAPCRYPT_FS_MOUNT_DIRECTORY_H
#define SNAPCRYPT_FS_MOUNT_DIRECTORY_H

#include "fs/mount/node.h"
#include "fs/store/place.h"

struct directories;

/*
 *   root      the directory that the mount shows: fd (kept), depth, snapshot (a reference, taken over) and path
 *   budget    descriptors that idle directories may hold
 */
MUST_CHECK int directories_create(struct nodes *nodes, const struct place *root, size_t budget,
				  struct directories **ret_directories);
void directories_free(struct directories *directories);

/* The place of a directory node, until directory_put().  -ESTALE: it is not what it was; -ENOENT: it was removed. */
MUST_CHECK int directory_get(struct directories *directories, struct node *node,
			     struct place *ret_place);
void directory_put(struct directories *directories, struct node *node);

/* Close its descriptor if idle: before it is removed, and when its node is freed. */
void directory_close_idle(struct directories *directories, struct node *node);
void directory_node_freed(void *directories, struct node *node);

/* A directory was renamed: paths and depths below it have changed.  The namespace lock is held for writing. */
void directories_renamed(struct directories *directories);

/* Path of the mount's root below the volume's. */
const char *directories_root_path(const struct directories *directories);
size_t directories_open(struct directories *directories);

#endif
