/* SPDX-License-Identifier: Apache-2.0 */
/* Unmounting, for the command and for the helper of umount(8). */
#ifndef SNAPCRYPT_FS_CMD_UMOUNT_H
#define SNAPCRYPT_FS_CMD_UMOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/cmd/session.h"

/*
 *   wait_ms   how long a busy mount is tried again
 *   is_lazy   detach now and do not wait for the release
 */
struct umount_options {
	const char *mountpoint;
	int64_t wait_ms;
	bool is_lazy;
};

/* Unmount and wait until the volume is released.  0 or an exit code, reported. */
MUST_CHECK int umount_and_wait(struct session *session, const struct umount_options *options);

/* The same for umount(8): a dead mount is detached without a word. */
MUST_CHECK int umount_helper_run(struct session *session, const struct umount_options *options);

/* Detach mounts of ours at MOUNTPOINT whose process is gone; none is no failure. */
MUST_CHECK int umount_dead(struct invocation *invocation, const char *mountpoint);

#endif
