/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers that requests are read into.  They are made when there is none left and go from hand to hand: to the write
 * queue, to a parked request, back to the pool.  Thread-safe.
 */
#ifndef SNAPCRYPT_FS_MOUNT_BUFFER_H
#define SNAPCRYPT_FS_MOUNT_BUFFER_H

#include "fs/mount/fuse.h"

struct buffer_pool;

/*
 *   fuse       libfuse allocates its memory at the first use, because only it knows the size
 *   attempts   how often the request in it was run again
 */
struct buffer {
	struct fuse_buf fuse;
	struct buffer *next;
	struct buffer_pool *pool;
	unsigned attempts;
};

struct buffer_pool *buffer_pool_create(size_t idle_limit);
void buffer_pool_free(struct buffer_pool *pool);

/* NULL without memory. */
struct buffer *buffer_get(struct buffer_pool *pool);

/* Also the release function of a queued write. */
void buffer_put(void *buffer);

#endif
