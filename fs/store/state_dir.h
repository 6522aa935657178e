/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small files in the state directory of this host: read whole, replaced whole and durably.  Names are paths below it.
 *
 * Thread-safe.  The directory is made at the first write, mode 0700.
 */
#ifndef SNAPCRYPT_FS_STORE_STATE_DIR_H
#define SNAPCRYPT_FS_STORE_STATE_DIR_H

#include <stddef.h>

#include "meta/bytes.h"
#include "meta/macros.h"

struct state_dir;

/* -EPERM: PATH exists and is another user's, or others may write to it.  It need not exist. */
MUST_CHECK int state_dir_open(const char *path, struct state_dir **ret_dir);
void state_dir_close(struct state_dir *dir); /* accepts NULL */
const char *state_dir_path(const struct state_dir *dir);

/* PATH/NAME, with its directory made; free() it. */
MUST_CHECK int state_dir_make_path(struct state_dir *dir, const char *name, char **ret_path);

/* -ENOENT; -EFBIG.  A NUL follows the data; free() it. */
MUST_CHECK int state_dir_read(struct state_dir *dir, const char *name, char **ret_data,
			      size_t *ret_size);
MUST_CHECK int state_dir_write(struct state_dir *dir, const char *name, const char *text);
MUST_CHECK int state_dir_remove(struct state_dir *dir, const char *name);

/* Names in a directory below, "." and temporary ones left out; -ENOENT.  Free each and the array. */
MUST_CHECK int state_dir_list(struct state_dir *dir, const char *name, char ***ret_names,
			      size_t *ret_count);

/* Keep other threads and processes from changing the files below NAME: waits.  Returns a lock for state_dir_unlock(). */
MUST_CHECK int state_dir_lock(struct state_dir *dir, const char *name);
void state_dir_unlock(struct state_dir *dir, int lock);

#endif
