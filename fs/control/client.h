/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the mounts of this host and asking them. */
#ifndef SNAPCRYPT_FS_CONTROL_CLIENT_H
#define SNAPCRYPT_FS_CONTROL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/control/address.h"
#include "fs/document.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define CONTROL_MOUNTS_MAX 1024

/* A mount that answers: its socket, and what it said about itself. */
struct control_mount {
	char socket[CONTROL_NAME_SIZE];
	struct uuid volume;
	struct uuid mount;
	struct json_object *status; /* the reply to "status" */
};

/* Owned; control_mounts_free().  directory_fd is -1 where there is no runtime directory. */
struct control_mounts {
	int directory_fd;
	size_t count;
	struct control_mount *mounts;
};

/* Ask every socket in RUNTIME_DIR; those that do not answer in time are left out. */
MUST_CHECK int control_list(const char *runtime_dir, struct control_mounts *ret_mounts);
void control_mounts_free(struct control_mounts *mounts);
void control_mounts_cleanup(struct control_mounts *mounts);

/* Is it a mount of the backing directory DEVICE, INODE? */
bool control_mount_is_of(const struct control_mount *mount, dev_t device, ino_t inode);

/* The members of status->mount; the device is that of its entry in the mount table. */
dev_t control_mount_device(const struct control_mount *mount);
const char *control_mountpoint(const struct control_mount *mount);
bool control_mount_is_writable(const struct control_mount *mount);

/*
 * Send REQUEST and read the reply, which is owned by the caller; its "ok" is the caller's to read.
 * TIMEOUT_MS is for the reply (-1: no limit).  RET_FD: keep the connection, NULL: close it.
 */
MUST_CHECK int control_ask(int directory_fd, const char *socket, struct json_object *request,
			   int timeout_ms, struct json_object **ret_reply, int *ret_fd);

/* Let a mount hand over its backing directory, opened, and its path (free() it). */
MUST_CHECK int control_take_backing(const struct control_mounts *mounts,
				    const struct control_mount *mount, int *ret_fd,
				    char **ret_path);

#endif
