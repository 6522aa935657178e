/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write queue.
 *
 * Each file has a list of its queued writes (struct queue_state); files with a list that nobody
 * works on are in the ready list.  A sealing thread takes a file, then its writes one after the
 * other, so they stay in order.  Whoever waits for a file that is only ready takes it up itself:
 * for small files that is cheaper than waiting for another thread to wake.
 *
 * Waking a thread costs as much as sealing many kilobytes.  So a sealing thread that has run out of
 * work dozes for a moment and looks again by itself, and is woken early only when much has come in;
 * and a writer that finds the queue full sleeps until there is room for several writes.
 *
 * The queue's lock is never held while a file is written.
 */
#include "fs/store/write_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/store/file_internal.h"

#define GATHER_SIZE  (UINT32_C(1) << 20)   /* adjacent small writes become one of at most this */
#define GATHER_LIMIT (UINT32_C(64) << 10)  /* what counts as small */
#define WAKE_SIZE    (UINT32_C(256) << 10) /* from here on a dozing thread is woken */
#define DOZE_NS      2000000L
#define THREADS_MAX  16

struct queue_item {
	struct queued_write write;
	struct queue_item *next;
};

struct write_queue {
	pthread_mutex_t lock;
	pthread_cond_t ready; /* there is work for a thread, or the queue closes */
	pthread_cond_t done;  /* a file has nothing queued any more */
	pthread_cond_t room;  /* the queue has room again */
	struct file *first_ready;
	struct file *last_ready;
	struct queue_item *spare; /* items to use again */
	atomic_size_t bytes;
	size_t limit;
	unsigned done_waiters;
	unsigned room_waiters;
	unsigned dozing; /* threads that wake by themselves */
	bool is_closing;
	unsigned thread_count;
	pthread_t threads[THREADS_MAX];
};

/* ---- lists; the lock is held ------------------------------------------------------------------ */

static void make_ready(struct write_queue *queue, struct file *file)
{
	file->queue.is_ready = true;
	file->queue.next_ready = NULL;
	if (queue->last_ready)
		queue->last_ready->queue.next_ready = file;
	else
		queue->first_ready = file;
	queue->last_ready = file;
}

static void take_ready(struct write_queue *queue, struct file *file)
{
	struct file *previous = NULL;
	struct file *at = queue->first_ready;

	while (at && at != file) {
		previous = at;
		at = at->queue.next_ready;
	}
	if (previous)
		previous->queue.next_ready = file->queue.next_ready;
	else
		queue->first_ready = file->queue.next_ready;
	if (queue->last_ready == file)
		queue->last_ready = previous;
	file->queue.is_ready = false;
}

static struct queue_item *pop(struct queue_state *state)
{
	struct queue_item *item = state->first;

	state->first = item->next;
	if (!state->first)
		state->last = NULL;
	return item;
}

/* ---- writing ----------------------------------------------------------------------------------- */

/* A run of adjacent writes that are handled at once. */
struct batch {
	struct queue_item *first;
	struct queue_item *last;
	size_t count;
	size_t size;
};

static bool belongs_to(const struct batch *batch, const struct queue_item *item)
{
	const struct queued_write *first = &batch->first->write;
	const struct queued_write *next = &item->write;

	return next->size < GATHER_LIMIT && batch->last->write.size < GATHER_LIMIT &&
	       first->offset + batch->size == next->offset &&
	       batch->size + next->size <= GATHER_SIZE;
}

static struct batch take_batch(struct queue_state *state)
{
	struct queue_item *item = pop(state);
	struct batch batch = { item, item, 1, item->write.size };

	item->next = NULL;
	while (state->first && belongs_to(&batch, state->first)) {
		item = pop(state);
		item->next = NULL;
		batch.last->next = item;
		batch.last = item;
		batch.count++;
		batch.size += item->write.size;
	}
	return batch;
}

/* file_write() until all is written or nothing goes any more. */
static int write_whole(struct file *file, const uint8_t *data, size_t size, uint64_t offset)
{
	while (size > 0) {
		ssize_t n = file_write(file, data, size, offset);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO;
		data += n;
		size -= (size_t)n;
		offset += (size_t)n;
	}
	return 0;
}

static int write_each(const struct batch *batch)
{
	for (const struct queue_item *item = batch->first; item; item = item->next) {
		const struct queued_write *write = &item->write;
		int r = write_whole(write->file, write->data, write->size, write->offset);

		if (r < 0)
			return r;
	}
	return 0;
}

static int write_batch(const struct batch *batch)
{
	const struct queued_write *first = &batch->first->write;
	uint8_t *gathered = batch->count > 1 ? malloc(batch->size) : NULL;
	size_t size = 0;

	if (!gathered)
		return write_each(batch);
	for (const struct queue_item *item = batch->first; item; item = item->next) {
		memcpy(gathered + size, item->write.data, item->write.size);
		size += item->write.size;
	}
	int r = write_whole(first->file, gathered, size, first->offset);

	explicit_bzero(gathered, size);
	free(gathered);
	/* As much as fits: a failed write has changed nothing. */
	return r < 0 ? write_each(batch) : 0;
}

static void release_batch(const struct batch *batch)
{
	for (const struct queue_item *item = batch->first; item; item = item->next) {
		if (item->write.release)
			item->write.release(item->write.buffer);
	}
}

/* The lock is held.  An eighth of the queue at once: its writers do not wake for every write. */
static void tell_room(struct write_queue *queue)
{
	if (queue->room_waiters > 0 &&
	    atomic_load(&queue->bytes) <= queue->limit - queue->limit / 8)
		pthread_cond_broadcast(&queue->room);
}

/* Write all that FILE has queued.  Takes and gives back the lock around each batch. */
static void work_off(struct write_queue *queue, struct file *file)
{
	struct queue_state *state = &file->queue;

	state->is_running = true;
	for (;;) {
		struct batch batch = take_batch(state);
		int error = atomic_load(&state->error);

		pthread_mutex_unlock(&queue->lock);
		/* After an error nothing of the same file is written until somebody has heard of it. */
		if (error == 0)
			error = write_batch(&batch);
		release_batch(&batch);
		pthread_mutex_lock(&queue->lock);

		if (error < 0)
			atomic_store(&state->error, error);
		batch.last->next = queue->spare;
		queue->spare = batch.first;
		atomic_fetch_sub(&queue->bytes, batch.size);
		bool is_last = !state->first;

		state->is_running = !is_last;
		/* Once the count is zero, whoever drained the file may free it. */
		atomic_fetch_sub(&state->count, batch.count);
		tell_room(queue);
		if (!is_last)
			continue;
		if (queue->done_waiters > 0)
			pthread_cond_broadcast(&queue->done);
		return;
	}
}

/* False: woken, or time to sleep. */
static bool doze(struct write_queue *queue)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += DOZE_NS;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	queue->dozing++;
	int r = pthread_cond_clockwait(&queue->ready, &queue->lock, CLOCK_MONOTONIC, &until);

	queue->dozing--;
	return r != ETIMEDOUT || queue->first_ready;
}

static void *sealing_thread(void *arg)
{
	struct write_queue *queue = arg;
	bool is_fresh = false;

	pthread_mutex_lock(&queue->lock);
	for (;;) {
		struct file *file = queue->first_ready;

		if (file) {
			take_ready(queue, file);
			work_off(queue, file);
			is_fresh = true;
			continue;
		}
		if (queue->is_closing)
			break;
		if (is_fresh)
			is_fresh = doze(queue);
		else
			pthread_cond_wait(&queue->ready, &queue->lock);
	}
	pthread_mutex_unlock(&queue->lock);
	return NULL;
}

static void wait_done(struct write_queue *queue)
{
	queue->done_waiters++;
	pthread_cond_wait(&queue->done, &queue->lock);
	queue->done_waiters--;
}

static void wait_for_room(struct write_queue *queue, size_t size)
{
	/* A write larger than the queue goes in when the queue is empty. */
	while (atomic_load(&queue->bytes) > 0 && atomic_load(&queue->bytes) + size > queue->limit) {
		queue->room_waiters++;
		pthread_cond_signal(&queue->ready);
		pthread_cond_wait(&queue->room, &queue->lock);
		queue->room_waiters--;
	}
}

/* ---- public ------------------------------------------------------------------------------------ */

int write_queue_create(size_t limit, unsigned threads, struct write_queue **ret_queue)
{
	struct write_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	if (threads == 0 || threads > THREADS_MAX) {
		free(queue);
		return -EINVAL;
	}
	queue->limit = limit;
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->ready, NULL);
	pthread_cond_init(&queue->done, NULL);
	pthread_cond_init(&queue->room, NULL);
	while (queue->thread_count < threads) {
		int r = pthread_create(&queue->threads[queue->thread_count], NULL, sealing_thread,
				       queue);

		if (r) {
			write_queue_free(queue);
			return -r;
		}
		queue->thread_count++;
	}
	*ret_queue = queue;
	return 0;
}

void write_queue_free(struct write_queue *queue)
{
	if (!queue)
		return;
	pthread_mutex_lock(&queue->lock);
	queue->is_closing = true;
	pthread_cond_broadcast(&queue->ready);
	pthread_mutex_unlock(&queue->lock);
	for (unsigned i = 0; i < queue->thread_count; i++)
		pthread_join(queue->threads[i], NULL);
	while (queue->spare) {
		struct queue_item *item = queue->spare;

		queue->spare = item->next;
		free(item);
	}
	pthread_cond_destroy(&queue->room);
	pthread_cond_destroy(&queue->done);
	pthread_cond_destroy(&queue->ready);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

static struct queue_item *get_item(struct write_queue *queue)
{
	struct queue_item *item = queue->spare;

	if (!item)
		return malloc(sizeof(*item));
	queue->spare = item->next;
	return item;
}

/* A thread that dozes looks by itself, soon enough for a little. */
static void call_thread(struct write_queue *queue, const struct queued_write *write)
{
	struct queue_state *state = &write->file->queue;
	size_t bytes = atomic_load(&queue->bytes);
	bool is_new = !state->is_running && !state->is_ready;
	bool is_much = bytes >= WAKE_SIZE && bytes - write->size < WAKE_SIZE;

	if (is_new)
		make_ready(queue, write->file);
	if ((is_new && queue->dozing == 0) || (state->is_ready && is_much))
		pthread_cond_signal(&queue->ready);
}

int write_queue_submit(struct write_queue *queue, const struct queued_write *write)
{
	struct queue_state *state = &write->file->queue;
	int error = atomic_load(&state->error);

	if (error < 0)
		return error;
	pthread_mutex_lock(&queue->lock);
	wait_for_room(queue, write->size);

	struct queue_item *item = get_item(queue);

	if (!item) {
		pthread_mutex_unlock(&queue->lock);
		return -ENOMEM;
	}
	*item = (struct queue_item){ .write = *write };
	state->queue = queue;
	if (state->last)
		state->last->next = item;
	else
		state->first = item;
	state->last = item;
	atomic_fetch_add(&state->count, 1);
	atomic_fetch_add(&queue->bytes, write->size);
	call_thread(queue, write);
	pthread_mutex_unlock(&queue->lock);
	return 0;
}

int queue_drain(struct file *file)
{
	struct queue_state *state = &file->queue;

	if (atomic_load(&state->count) > 0) {
		struct write_queue *queue = state->queue;

		pthread_mutex_lock(&queue->lock);
		while (atomic_load(&state->count) > 0) {
			if (state->is_ready) {
				take_ready(queue, file);
				work_off(queue, file);
			} else {
				wait_done(queue);
			}
		}
		pthread_mutex_unlock(&queue->lock);
	}
	return atomic_load(&state->error);
}

int write_queue_wait(struct write_queue *queue, struct file *file)
{
	(void)queue;
	if (queue_drain(file) == 0)
		return 0;
	return atomic_exchange(&file->queue.error, 0);
}

size_t write_queue_bytes(struct write_queue *queue)
{
	return atomic_load(&queue->bytes);
}
