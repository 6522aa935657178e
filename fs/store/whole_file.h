/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing all of a range, and whole small files. */
#ifndef SNAPCRYPT_FS_STORE_WHOLE_FILE_H
#define SNAPCRYPT_FS_STORE_WHOLE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "meta/macros.h"

/* pread() until SIZE bytes or the end. */
MUST_CHECK ssize_t read_all(int fd, uint8_t *data, size_t size, uint64_t offset);
/* pwrite() of all SIZE bytes; *ret_written (NULL: not asked) tells how many reached the file, also on failure. */
MUST_CHECK int write_all(int fd, const uint8_t *data, size_t size, uint64_t offset,
			 size_t *ret_written);

/* The whole file at FD, a NUL behind it; free() it.  -EFBIG: longer than MAX; -EINVAL: not a regular file. */
MUST_CHECK int whole_file_read(int fd, size_t max, char **ret_data, size_t *ret_size);
MUST_CHECK int whole_file_write(int fd, const void *data, size_t size);

#endif
