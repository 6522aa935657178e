/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Becoming a daemon, in an order that is a security property: no core dumps, fork, the mounter, room for descriptors, no more
 * privileges than needed.  Only then keys are opened and threads started: neither survives a fork.
 *
 * The parent waits, and ends with the outcome: 0 when the mount serves, else an exit code and a message.
 */
#ifndef SNAPCRYPT_FS_MOUNT_DAEMON_H
#define SNAPCRYPT_FS_MOUNT_DAEMON_H

#include <stdbool.h>
#include <stddef.h>

#include "meta/macros.h"

struct mounter;

struct daemon {
	int report_fd; /* to the parent; -1: none waits */
	bool is_foreground;
	struct mounter *mounter; /* NULL: unprivileged */
	size_t descriptor_limit;
};

/*
 * Returns in the process that is to serve; with IS_FOREGROUND that is this one.  SIGTERM, SIGINT and SIGHUP are blocked from
 * then on: mount_run() waits for them.  Returns -errno and changes nothing that matters if the system refuses.
 */
MUST_CHECK int daemon_start(struct daemon *daemon, bool is_foreground);

/* The mount serves: let the parent end, tell the service manager, and leave the terminal. */
void daemon_ready(struct daemon *daemon);

/* It came to nothing: let the parent end with CODE after printing TEXT (one or more lines).  In the foreground: does nothing. */
void daemon_failed(struct daemon *daemon, int code, const char *text);

/* The mount has ended. */
void daemon_stopping(struct daemon *daemon);
void daemon_free(struct daemon *daemon);

#endif
