/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's table of mounts, read so that a dead mount does not get in the way. */
#ifndef SNAPCRYPT_FS_CONTROL_MOUNT_TABLE_H
#define SNAPCRYPT_FS_CONTROL_MOUNT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "meta/macros.h"

#define MOUNT_TYPE "fuse.snapcrypt"

/* All owned. */
struct mount_entry {
	int id;
	dev_t device;
	char *mountpoint;
	char *type;
	char *source;
	bool is_read_only;
};

struct mount_table {
	struct mount_entry *entries;
	size_t count;
};

MUST_CHECK int mount_table_read(struct mount_table *ret_table);
void mount_table_free(struct mount_table *table);
void mount_table_cleanup(struct mount_table *table);

/*
 * The mount that PATH is on; NULL: not found.  Asks no filesystem, so that it works for a mount
 * without a daemon.  -ENOENT, -ENOTDIR, -EACCES: PATH cannot be reached.
 */
MUST_CHECK int mount_table_find(const struct mount_table *table, const char *path,
				const struct mount_entry **ret_entry);

/* The last one mounted at exactly MOUNTPOINT (absolute, without links), or NULL. */
const struct mount_entry *mount_table_at(const struct mount_table *table, const char *mountpoint);

bool mount_entry_is_ours(const struct mount_entry *entry);

/* Does somebody serve it?  Waits for at most some seconds for an answer. */
MUST_CHECK bool mount_entry_is_alive(const struct mount_entry *entry);

#endif
