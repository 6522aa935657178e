/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime directory. */
#ifndef SNAPCRYPT_FS_CONTROL_DIRECTORY_H
#define SNAPCRYPT_FS_CONTROL_DIRECTORY_H

#include <stdbool.h>

#include "meta/macros.h"

/*
 * Open the runtime directory, with MAKE after making it if absent.  -EPERM: it is not this user's
 * or root's, or others may write to it: whoever can exchange a socket can lie to a command.
 */
MUST_CHECK int control_directory_open(const char *path, bool make, int *ret_fd);

/* Remove sockets that nobody listens on: what killed mounts left behind. */
void control_directory_remove_stale(int directory_fd);

/* Connect to the socket NAME.  -ECONNREFUSED: nobody listens. */
MUST_CHECK int control_connect(int directory_fd, const char *name, int *ret_fd);

#endif
