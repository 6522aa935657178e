/* SPDX-License-Identifier: Apache-2.0 */
/* The content of one file that is restored: read through the engine, holes kept. */
#ifndef SNAPCRYPT_FS_RESTORE_CONTENT_H
#define SNAPCRYPT_FS_RESTORE_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/store/file.h"
#include "fs/store/walk.h"
#include "kms/crypto/hash.h"
#include "meta/macros.h"

/*
 *   fd           where it goes
 *   compares     read FD and compare instead
 *   write        takes the data in place of FD, in order, without the holes; NULL: FD takes it
 *   hash         fed with all of it, zeros for holes; NULL: not wanted
 *   progressed   so many bytes more are done, holes included
 *   failed_offset   where it failed
 */
struct content_job {
	struct walk *walk;
	struct file *file;
	int fd;
	uint64_t size;
	uint32_t block_size;
	bool compares;
	int (*write)(void *arg, const uint8_t *data, size_t size, uint64_t offset);
	void *write_arg;
	struct hash *hash;
	void (*progressed)(void *arg, uint64_t bytes);
	void *arg;
	uint64_t failed_offset;
};

/*
 * Copy the content: with other threads where it is large, unless its order counts (WRITE or HASH).
 *
 * -EBADMSG: a block is not authentic; -EILSEQ: what was read back differs; -ESTALE: it ends early.
 */
MUST_CHECK int content_copy(struct content_job *job);

/* The data from *OFFSET on, up to END, that is no hole; *RET_END is where it ends.  -ENXIO: only a hole. */
MUST_CHECK int content_find_data(struct file *file, uint64_t *offset, uint64_t end,
				 uint64_t *ret_end);

#endif
