/* SPDX-License-Identifier: Apache-2.0 */
/* Walking a backing directory without ever leaving it, whatever somebody has planted there. */
#ifndef SNAPCRYPT_FS_STORE_BENEATH_H
#define SNAPCRYPT_FS_STORE_BENEATH_H

#include <stdbool.h>
#include <stddef.h>

#include "meta/macros.h"

/*
 * Open NAME below DIR_FD without leaving it: no symlink, no "..", no other filesystem on the way (openat2).  FLAGS as in
 * open(2); MODE for O_CREAT.  The descriptor, or a negative errno.
 */
MUST_CHECK int open_beneath(int dir_fd, const char *name, int flags, unsigned mode);

/* fsync() of the directory NAME below DIR_FD, which may be an O_PATH descriptor; ".": of itself. */
MUST_CHECK int directory_sync(int dir_fd, const char *name);

/* The names in a directory for which IS_WANTED (NULL: all), without "." and "..", sorted.  names_free(). */
MUST_CHECK int directory_names(int dir_fd, const char *name, bool (*is_wanted)(const char *name),
			       char ***ret_names, size_t *ret_count);
void names_free(char **names, size_t count);

#endif
