/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers that requests are read into: the one used last is taken first, its pages are warm. */
#include "fs/mount/buffer.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct buffer_pool {
	pthread_mutex_t lock;
	struct buffer *idle;
	size_t idle_count;
	size_t idle_limit;
};

struct buffer_pool *buffer_pool_create(size_t idle_limit)
{
	struct buffer_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pthread_mutex_init(&pool->lock, NULL);
	pool->idle_limit = idle_limit;
	return pool;
}

static void buffer_free(struct buffer *buffer)
{
	free(buffer->fuse.mem);
	free(buffer);
}

void buffer_pool_free(struct buffer_pool *pool)
{
	if (!pool)
		return;
	for (struct buffer *buffer = pool->idle, *next; buffer; buffer = next) {
		next = buffer->next;
		buffer_free(buffer);
	}
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

struct buffer *buffer_get(struct buffer_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	struct buffer *buffer = pool->idle;

	if (buffer) {
		pool->idle = buffer->next;
		pool->idle_count--;
	}
	pthread_mutex_unlock(&pool->lock);
	if (!buffer)
		buffer = calloc(1, sizeof(*buffer));
	if (!buffer)
		return NULL;
	buffer->next = NULL;
	buffer->pool = pool;
	buffer->attempts = 0;
	return buffer;
}

void buffer_put(void *arg)
{
	struct buffer *buffer = arg;

	if (!buffer)
		return;
	struct buffer_pool *pool = buffer->pool;

	pthread_mutex_lock(&pool->lock);
	bool is_kept = pool->idle_count < pool->idle_limit;

	if (is_kept) {
		buffer->next = pool->idle;
		pool->idle = buffer;
		pool->idle_count++;
	}
	pthread_mutex_unlock(&pool->lock);
	if (!is_kept)
		buffer_free(buffer);
}
