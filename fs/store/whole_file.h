/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing whole small files. */
#ifndef SNAPCRYPT_FS_STORE_WHOLE_FILE_H
#define SNAPCRYPT_FS_STORE_WHOLE_FILE_H

#include <stddef.h>

#include "meta/macros.h"

/* The whole file at FD, a NUL behind it; free() it.  -EFBIG: longer than MAX; -EINVAL: not a regular file. */
MUST_CHECK int whole_file_read(int fd, size_t max, char **ret_data, size_t *ret_size);
MUST_CHECK int whole_file_write(int fd, const void *data, size_t size);

#endif
