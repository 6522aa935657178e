/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of the data path: buffers that a thread keeps, and a pool of block buffers for open files.
 */
#include <stdlib.h>
#include <string.h>

#include "fs/store/file_internal.h"

#define POOL_LIMIT_BYTES (8u << 20)

struct pooled {
	struct pooled *next;
	size_t block_size;
};

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pooled *pool;
static size_t pool_bytes;

uint8_t *block_get(size_t block_size)
{
	struct pooled *block = NULL;

	pthread_mutex_lock(&pool_lock);
	if (pool && pool->block_size == block_size) {
		block = pool;
		pool = block->next;
		pool_bytes -= block_size;
	}
	pthread_mutex_unlock(&pool_lock);
	return block ? (uint8_t *)block : malloc(block_size);
}

void block_put(uint8_t *block, size_t block_size, size_t used)
{
	if (!block)
		return;
	explicit_bzero(block, used < block_size ? used : block_size);

	pthread_mutex_lock(&pool_lock);
	bool is_kept = pool_bytes + block_size <= POOL_LIMIT_BYTES;

	if (is_kept) {
		struct pooled *pooled = (struct pooled *)(void *)block;

		pooled->next = pool;
		pooled->block_size = block_size;
		pool = pooled;
		pool_bytes += block_size;
	}
	pthread_mutex_unlock(&pool_lock);
	if (!is_kept)
		free(block);
}

/* ---- per thread ------------------------------------------------------------------------------ */

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;
static __thread struct thread_buffers *own;

static void buffers_empty(struct thread_buffers *buffers)
{
	free(buffers->sealed);
	block_put(buffers->plain, buffers->block_size, buffers->block_size);
	if (buffers->undo)
		explicit_bzero(buffers->undo, 2 * buffers->block_size);
	free(buffers->undo);
	free(buffers->image);
	*buffers = (struct thread_buffers){ 0 };
}

static void buffers_free(void *arg)
{
	struct thread_buffers *buffers = arg;

	buffers_empty(buffers);
	free(buffers);
}

static void make_key(void)
{
	key_error = pthread_key_create(&key, buffers_free);
}

/* A chunk at any offset, with the blocks that it touches partly and an empty last block. */
static size_t sealed_capacity(const struct layout *layout)
{
	size_t blocks = FILE_CHUNK_SIZE / layout->block_size + 2;

	return blocks * layout->sealed_block_size + LAYOUT_BLOCK_OVERHEAD;
}

static bool buffers_fill(struct thread_buffers *buffers, const struct layout *layout)
{
	if (buffers->block_size != layout->block_size) {
		buffers_empty(buffers);
		buffers->block_size = layout->block_size;
		buffers->sealed_size = sealed_capacity(layout);
		buffers->sealed = malloc(buffers->sealed_size);
		buffers->undo = malloc(2 * buffers->block_size);
	}
	if (!buffers->plain)
		buffers->plain = block_get(buffers->block_size);
	if (buffers->sealed && buffers->undo && buffers->plain)
		return true;
	buffers_empty(buffers);
	return false;
}

struct thread_buffers *thread_buffers(const struct layout *layout)
{
	if (own && own->block_size == layout->block_size && own->plain)
		return own;
	pthread_once(&key_once, make_key);
	if (key_error)
		return NULL;
	if (!own) {
		struct thread_buffers *buffers = calloc(1, sizeof(*buffers));

		if (!buffers)
			return NULL;
		if (pthread_setspecific(key, buffers)) {
			free(buffers);
			return NULL;
		}
		own = buffers;
	}
	return buffers_fill(own, layout) ? own : NULL;
}

uint8_t *thread_image(struct thread_buffers *buffers, size_t size)
{
	if (buffers->image_size >= size)
		return buffers->image;

	uint8_t *image = realloc(buffers->image, size);

	if (!image)
		return NULL;
	buffers->image = image;
	buffers->image_size = size;
	return image;
}
