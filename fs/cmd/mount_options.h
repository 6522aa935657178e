/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a mount, from -o, from long options and from fstab: meta/NAMES.md, "Mount options". */
#ifndef SNAPCRYPT_FS_CMD_MOUNT_OPTIONS_H
#define SNAPCRYPT_FS_CMD_MOUNT_OPTIONS_H

#include <stdbool.h>

#include "fs/cmd/command.h"

enum mount_choice { MOUNT_DEFAULT, MOUNT_YES, MOUNT_NO };

/*
 * What was asked for.  All texts are owned; NULL: not given.
 *
 *   kernel   options that are none of ours, comma-separated
 *   is_fake  check everything, do not mount
 *   outcome  the code with which the process ends for one of ours; NULL: the same
 */
struct mount_request {
	char *volume;
	char *mountpoint;
	char *snapshot;
	char *config;
	char *role;
	char *key_timeout;
	char *key_poll;
	char *read_ahead;
	char *write_queue;
	char *fsname;
	char *kernel;
	enum mount_choice allow_other;
	enum mount_choice symfollow;
	bool is_read_only;
	bool requires_sealed;
	bool replaces_dead;
	bool is_foreground;
	bool is_fake;
	bool is_sloppy;
	int (*outcome)(int exit_code);
};

void mount_request_free(struct mount_request *request);

/* Take the options of one -o.  0 or an exit code, reported. */
MUST_CHECK int mount_request_add(struct mount_request *request, struct invocation *invocation,
				 const char *text);

/* Do the options go together?  0 or an exit code, reported. */
MUST_CHECK int mount_request_check(const struct mount_request *request,
				   struct invocation *invocation);

/* Mount as asked; with is_foreground it returns when the mount has ended. */
MUST_CHECK int mount_serve(const struct mount_request *request, struct invocation *invocation);

#endif
