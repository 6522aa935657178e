/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: one pread for a request; whole blocks are decrypted into the caller's buffer, parts of
 * blocks by way of a slot, so that the next small read finds the block in memory.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "fs/store/file_internal.h"

/* What is to be read: part of the file's contents, all of it below the end. */
struct request {
	uint8_t *data;
	size_t size;
	uint64_t offset;
};

/* The part of a request that lies in one block, from memory if it is there. */
static bool copy_from_memory(struct file *file, const struct request *part)
{
	uint64_t index = layout_block_index(file->layout, part->offset);
	uint32_t start = layout_block_offset(file->layout, part->offset);

	if (file->has_tail && index == tail_index(file)) {
		memcpy(part->data, file->tail + start, part->size);
		return true;
	}
	return slots_copy(file, index, start, part->data, part->size);
}

/* Open one block of which the request wants a part. */
static int open_part(struct file *file, const struct request *part, struct bytes sealed,
		     uint64_t *ret_failed)
{
	struct thread_buffers *buffers = thread_buffers(file->layout);
	uint64_t index = layout_block_index(file->layout, part->offset);
	const struct sealed_blocks block = { index, 1, sealed };

	if (!buffers)
		return -ENOMEM;
	int r = open_sealed(file, &block, buffers->plain, ret_failed);

	if (r < 0)
		return r;
	memcpy(part->data, buffers->plain + layout_block_offset(file->layout, part->offset),
	       part->size);
	slots_offer(file, index, layout_block_fill(file->layout, file->size, index),
		    &buffers->plain);
	return 0;
}

/* Bytes of a request in block INDEX. */
static struct request part_in_block(const struct file *file, const struct request *request,
				    uint64_t index)
{
	uint64_t begin = layout_plain_offset(file->layout, index);
	uint64_t end = begin + file->layout->block_size;

	begin = begin > request->offset ? begin : request->offset;
	if (end > request->offset + request->size)
		end = request->offset + request->size;
	return (struct request){ request->data + (begin - request->offset), (size_t)(end - begin),
				 begin };
}

static bool is_whole(const struct file *file, const struct request *part, uint64_t index)
{
	return part->size == layout_block_fill(file->layout, file->size, index);
}

/* Read and open blocks FIRST to LAST, of which only the outer ones may be wanted in part. */
static int read_blocks(struct file *file, const struct request *request, uint64_t first,
		       uint64_t last, uint64_t *ret_failed)
{
	const struct layout *layout = file->layout;
	const size_t step = layout->sealed_block_size;
	struct thread_buffers *buffers = thread_buffers(layout);
	uint64_t begin = layout_sealed_offset(layout, first);
	size_t size = (size_t)(last - first) * step + layout_block_fill(layout, file->size, last) +
		      LAYOUT_BLOCK_OVERHEAD;
	const struct request head = part_in_block(file, request, first);
	const struct request foot = part_in_block(file, request, last);

	*ret_failed = first;
	if (!buffers)
		return -ENOMEM;
	int r = expected_tags_fetch(file, first, last - first + 1);

	if (r == 0)
		r = read_sealed(file, begin, buffers->sealed, size);

	if (r < 0)
		return r;

	struct bytes sealed = { buffers->sealed, size };

	if (!is_whole(file, &head, first)) {
		const struct bytes block = { sealed.data, size < step ? size : step };

		r = open_part(file, &head, block, ret_failed);
		if (r < 0 || first == last)
			return r;
		sealed.data += step;
		sealed.size -= step;
		first++;
	}

	bool has_foot = !is_whole(file, &foot, last);
	uint64_t count = last - first + !has_foot;
	const size_t inner = has_foot ? (size_t)count * step : sealed.size;

	if (count > 0) {
		const struct request part = part_in_block(file, request, first);
		const struct sealed_blocks blocks = { first, count, { sealed.data, inner } };

		r = open_sealed(file, &blocks, part.data, ret_failed);
		if (r < 0)
			return r;
	}
	if (!has_foot)
		return 0;
	return open_part(file, &foot, (struct bytes){ sealed.data + inner, sealed.size - inner },
			 ret_failed);
}

/* At most one chunk. */
static int read_piece(struct file *file, const struct request *request, uint64_t *ret_failed)
{
	uint64_t first = layout_block_index(file->layout, request->offset);
	uint64_t last = layout_block_index(file->layout, request->offset + request->size - 1);
	struct request part = part_in_block(file, request, first);
	bool has_head = copy_from_memory(file, &part);

	if (first == last)
		return has_head ? 0 : read_blocks(file, request, first, last, ret_failed);
	first += has_head;
	part = part_in_block(file, request, last);
	if (copy_from_memory(file, &part)) {
		if (first == last)
			return 0;
		last--;
	}
	return read_blocks(file, request, first, last, ret_failed);
}

/* Everything that the file has of the request; *ret_done bytes are authentic, also on failure. */
static int read_locked(struct file *file, const struct request *request, size_t *ret_done,
		       uint64_t *ret_failed)
{
	size_t size = request->size;

	*ret_done = 0;
	if (request->offset >= file->size)
		return 0;
	if (size > file->size - request->offset)
		size = (size_t)(file->size - request->offset);
	while (*ret_done < size) {
		uint64_t at = request->offset + *ret_done;
		size_t piece = FILE_CHUNK_SIZE -
			       layout_block_offset(file->layout, at + FILE_CHUNK_SIZE);

		if (piece > size - *ret_done)
			piece = size - *ret_done;
		const struct request part = { request->data + *ret_done, piece, at };
		int r = read_piece(file, &part, ret_failed);

		if (r < 0)
			return r;
		*ret_done += piece;
	}
	return 0;
}

void wait_for_writer(void)
{
	const struct timespec pause = { .tv_nsec = REREAD_WAIT_MS * 1000000L };

	nanosleep(&pause, NULL);
}

/* On a read-only store another host or process may be writing: look again before it counts. */
static bool may_look_again(const struct file *file, int error, unsigned attempt)
{
	return error == -EBADMSG && !store_is_writable(file->store) && attempt < REREAD_COUNT;
}

static ssize_t read_encrypted(struct file *file, const struct request *request)
{
	uint64_t failed = 0;
	size_t done = 0;
	int r;

	for (unsigned attempt = 0;; attempt++) {
		pthread_rwlock_rdlock(&file->lock);
		r = read_locked(file, request, &done, &failed);
		pthread_rwlock_unlock(&file->lock);
		if (!may_look_again(file, r, attempt))
			break;
		wait_for_writer();
		if (file_refresh(file) < 0)
			break;
	}
	if (r == 0)
		return (ssize_t)done;
	/* What failed half-way may have left authentic bytes of other blocks; nobody needs them. */
	explicit_bzero(request->data + done, request->size - done);
	if (done > 0)
		return (ssize_t)done;
	if (r == -EBADMSG)
		block_report(file, failed);
	return r;
}

ssize_t file_read(struct file *file, uint8_t *buffer, size_t size, uint64_t offset)
{
	const struct request request = { buffer, size, offset };
	int r = file_check(file);

	if (r < 0)
		return r;
	if (!file->is_encrypted)
		return read_all(file->fd, buffer, size, offset);
	return size > 0 ? read_encrypted(file, &request) : 0;
}
