/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of one file.
 *
 * A large one is cut into ranges that several threads take in turn; those that come late find nothing left.
 */
#include "fs/restore/content.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_SIZE ((size_t)1 << 20)
#define RANGE_SIZE  (UINT64_C(8) << 20)
#define LARGE_SIZE  (2 * RANGE_SIZE)

struct content {
	struct content_job *job;
	atomic_uint references;
	atomic_uint_fast64_t next; /* offset of the range that nobody has taken yet */
	atomic_int error;
	pthread_mutex_t lock; /* guards what follows, and job->failed_offset */
	pthread_cond_t finished;
	unsigned active;
	bool is_closed; /* whoever comes now is too late */
};

/* ---- Memory of a thread ---------------------------------------------------------------------- */

struct buffers {
	uint8_t plain[BUFFER_SIZE];
	uint8_t stored[BUFFER_SIZE];
};

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

static void make_key(void)
{
	key_error = -pthread_key_create(&key, free);
}

static struct buffers *own_buffers(void)
{
	struct buffers *buffers = NULL;

	pthread_once(&key_once, make_key);
	if (key_error < 0)
		return NULL;
	buffers = pthread_getspecific(key);
	if (buffers != NULL)
		return buffers;
	buffers = malloc(sizeof(*buffers));
	if (buffers != NULL && pthread_setspecific(key, buffers) != 0) {
		free(buffers);
		buffers = NULL;
	}
	return buffers;
}

/* ---- One piece ------------------------------------------------------------------------------- */

static int write_whole(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
	while (size > 0) {
		const ssize_t n = pwrite(fd, data, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static int compare_whole(int fd, struct buffers *buffers, size_t size, uint64_t offset)
{
	size_t done = 0;

	while (done < size) {
		const ssize_t n = pread(fd, buffers->stored + done, size - done,
					(off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EILSEQ;
		done += (size_t)n;
	}
	return memcmp(buffers->plain, buffers->stored, size) == 0 ? 0 : -EILSEQ;
}

int content_find_data(struct file *file, uint64_t *offset, uint64_t end, uint64_t *ret_end)
{
	int r = file_seek(file, *offset, SEEK_DATA, offset);

	if (r < 0)
		return r;
	if (*offset >= end)
		return -ENXIO;
	r = file_seek(file, *offset, SEEK_HOLE, ret_end);
	if (r == 0 && *ret_end > end)
		*ret_end = end;
	return r;
}

/* Which of the blocks from OFFSET to END does not verify: for the message. */
static uint64_t find_bad_block(struct content_job *job, struct buffers *buffers, uint64_t offset,
			       uint64_t end)
{
	while (offset < end) {
		const uint64_t next = offset - offset % job->block_size + job->block_size;

		if (file_read(job->file, buffers->plain, (size_t)(next - offset), offset) < 0)
			break;
		offset = next;
	}
	return offset;
}

static int put_data(struct content_job *job, struct buffers *buffers, size_t size, uint64_t offset)
{
	int r = 0;

	if (job->hash != NULL)
		r = hash_update(job->hash, (struct bytes){ buffers->plain, size });
	if (r < 0)
		return r;
	if (job->compares)
		return compare_whole(job->fd, buffers, size, offset);
	return job->write != NULL ? job->write(job->write_arg, buffers->plain, size, offset)
				  : write_whole(job->fd, buffers->plain, size, offset);
}

/* A hole, for the hash. */
static int put_zeros(struct content_job *job, uint64_t size)
{
	static const uint8_t zeros[65536];
	int r = 0;

	while (r == 0 && job->hash != NULL && size > 0) {
		const size_t part = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);

		if (walk_has_ended(job->walk))
			return -ECANCELED;
		r = hash_update(job->hash, (struct bytes){ zeros, part });
		size -= part;
	}
	return r;
}

static int copy_data(struct content *content, uint64_t offset, uint64_t end, uint64_t *ret_failed)
{
	struct content_job *job = content->job;
	struct buffers *buffers = own_buffers();
	int r = buffers == NULL ? -ENOMEM : 0;

	while (r == 0 && offset < end) {
		const size_t wanted = end - offset < BUFFER_SIZE ? (size_t)(end - offset)
								 : BUFFER_SIZE;
		ssize_t n = 0;

		*ret_failed = offset;
		if (walk_has_ended(job->walk))
			return -ECANCELED;
		n = file_read(job->file, buffers->plain, wanted, offset);
		if (n == -EBADMSG)
			*ret_failed = find_bad_block(job, buffers, offset, offset + wanted);
		/* A file that ends early was changed while it was read. */
		if (n <= 0)
			return n == 0 ? -ESTALE : (int)n;
		r = put_data(job, buffers, (size_t)n, offset);
		if (r == 0 && !job->compares)
			job->progressed(job->arg, (uint64_t)n);
		offset += (uint64_t)n;
	}
	return r;
}

/* From OFFSET to END, holes left out. */
static int copy_range(struct content *content, uint64_t offset, uint64_t end, uint64_t *ret_failed)
{
	struct content_job *job = content->job;
	int r = 0;

	while (r == 0 && offset < end) {
		const uint64_t begin = offset;
		uint64_t data_end = 0;

		*ret_failed = offset;
		r = content_find_data(job->file, &offset, end, &data_end);
		if (r == -ENXIO) {
			job->progressed(job->arg, job->compares ? 0 : end - begin);
			return put_zeros(job, end - begin);
		}
		if (r < 0)
			return r;
		job->progressed(job->arg, job->compares ? 0 : offset - begin);
		r = put_zeros(job, offset - begin);
		if (r == 0)
			r = copy_data(content, offset, data_end, ret_failed);
		offset = data_end;
	}
	return r;
}

/* ---- All of it ------------------------------------------------------------------------------- */

static void copy_ranges(struct content *content)
{
	const uint64_t size = content->job->size;

	while (atomic_load(&content->error) == 0) {
		const uint64_t begin = atomic_fetch_add(&content->next, RANGE_SIZE);
		uint64_t failed = 0;
		int r = 0;

		if (begin >= size)
			return;
		r = copy_range(content, begin,
			       size - begin < RANGE_SIZE ? size : begin + RANGE_SIZE, &failed);
		if (r < 0) {
			pthread_mutex_lock(&content->lock);
			if (atomic_load(&content->error) == 0) {
				atomic_store(&content->error, r);
				content->job->failed_offset = failed;
			}
			pthread_mutex_unlock(&content->lock);
		}
	}
}

static void put(void *arg)
{
	struct content *content = arg;

	if (atomic_fetch_sub(&content->references, 1) != 1)
		return;
	pthread_mutex_destroy(&content->lock);
	pthread_cond_destroy(&content->finished);
	free(content);
}

static void help(void *arg)
{
	struct content *content = arg;
	bool is_late = false;

	pthread_mutex_lock(&content->lock);
	is_late = content->is_closed;
	content->active += is_late ? 0 : 1;
	pthread_mutex_unlock(&content->lock);
	if (is_late)
		return;
	copy_ranges(content);
	pthread_mutex_lock(&content->lock);
	content->active--;
	pthread_cond_signal(&content->finished);
	pthread_mutex_unlock(&content->lock);
}

static void invite(struct content *content)
{
	const uint64_t ranges = content->job->size / RANGE_SIZE;
	unsigned helpers = walk_helpers(content->job->walk);

	if (helpers > ranges)
		helpers = (unsigned)ranges;
	for (unsigned i = 0; i < helpers; i++) {
		atomic_fetch_add(&content->references, 1);
		if (!walk_invite(content->job->walk, help, put, content)) {
			put(content);
			return;
		}
	}
}

static int copy_large(struct content_job *job)
{
	struct content *content = calloc(1, sizeof(*content));
	int r = 0;

	if (content == NULL)
		return -ENOMEM;
	content->job = job;
	atomic_init(&content->references, 1);
	pthread_mutex_init(&content->lock, NULL);
	pthread_cond_init(&content->finished, NULL);
	invite(content);
	copy_ranges(content);
	pthread_mutex_lock(&content->lock);
	content->is_closed = true;
	while (content->active > 0)
		pthread_cond_wait(&content->finished, &content->lock);
	r = atomic_load(&content->error);
	pthread_mutex_unlock(&content->lock);
	put(content);
	return r;
}

int content_copy(struct content_job *job)
{
	struct content content = { .job = job };

	if (job->size > LARGE_SIZE && job->hash == NULL && job->write == NULL)
		return copy_large(job);
	return copy_range(&content, 0, job->size, &job->failed_offset);
}
