/* SPDX-License-Identifier: Apache-2.0 */
/* fallocate(2): space below, holes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/file_internal.h"
#include "fs/store/tag_memory.h"

#define MODE_PUNCH     (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define MODE_ZERO_KEEP (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

/* Plain bytes from BEGIN up to END. */
struct range {
	uint64_t begin;
	uint64_t end;
};

/* Space for what is going to be written, without changing the size below. */
static int reserve_below(struct file *file, const struct range *range)
{
	const struct layout *layout = file->layout;
	uint64_t begin = layout_sealed_offset(layout, layout_block_index(layout, range->begin));
	uint64_t last = layout_block_index(layout, range->end - 1);
	uint64_t end = layout_sealed_offset(layout, last) + layout->sealed_block_size;

	if (fallocate(file->fd, FALLOC_FL_KEEP_SIZE, (off_t)begin, (off_t)(end - begin)) < 0)
		return -errno;
	return 0;
}

static int write_zeros_below(struct file *file, uint64_t offset, uint64_t size)
{
	struct thread_buffers *buffers = thread_buffers(file->layout);

	if (!buffers)
		return -ENOMEM;
	memset(buffers->sealed, 0, buffers->sealed_size);
	while (size > 0) {
		size_t piece = size < buffers->sealed_size ? (size_t)size : buffers->sealed_size;
		int r = write_all(file->fd, buffers->sealed, piece, offset, NULL);

		if (r < 0)
			return r;
		offset += piece;
		size -= piece;
	}
	return 0;
}

static int punch_below(struct file *file, uint64_t offset, uint64_t size)
{
	return fallocate(file->fd, MODE_PUNCH, (off_t)offset, (off_t)size) < 0 ? -errno : 0;
}

/* Zeros through the journal; the space is given back once they are in place. */
static int punch_journaled(struct file *file, uint64_t first, uint64_t end)
{
	const size_t step = file->layout->sealed_block_size;
	struct thread_buffers *buffers = thread_buffers(file->layout);
	uint64_t offset = layout_sealed_offset(file->layout, first);
	uint64_t size = layout_sealed_offset(file->layout, end) - offset;

	if (!buffers)
		return -ENOMEM;

	size_t most = buffers->sealed_size / step * step;

	memset(buffers->sealed, 0, most);
	for (uint64_t done = 0; done < size; done += most) {
		struct journal_change change = {
			.offset = offset + done,
			.data = { buffers->sealed,
				  size - done < most ? (size_t)(size - done) : most },
			.result = file->sealed_size,
		};
		int r = journal_change(file, &change);

		if (r < 0)
			return r;
	}
	int r = commit_pending(file);

	if (r == 0 && punch_below(file, offset, size) < 0)
		return 0; /* the zeros are there: that is enough */
	return r;
}

/* Make whole blocks from FIRST up to END holes; all of them lie before the last block. */
static int punch_blocks(struct file *file, uint64_t first, uint64_t end)
{
	uint64_t offset = layout_sealed_offset(file->layout, first);
	uint64_t size = layout_sealed_offset(file->layout, end) - offset;
	int r = prepare_change(file, first);

	if (r == 0)
		r = file_make_sparse(file);
	if (r < 0)
		return r;
	slots_forget(file, first, end - 1);
	tags_prepare(file);
	if (is_journaled(file, first)) {
		r = punch_journaled(file, first, end);
	} else {
		r = punch_below(file, offset, size);
		if (r == -EOPNOTSUPP || r == -ENOSYS)
			r = write_zeros_below(file, offset, size);
	}
	if (r == 0)
		tags_punched(file, first, end);
	else
		tags_forget(file);
	return r;
}

/* Seal zeros over a part of one block. */
static int zero_part(struct file *file, uint64_t begin, uint64_t end)
{
	const struct span span = { NULL, (size_t)(end - begin), begin };

	return begin < end ? write_locked(file, &span) : 0;
}

static int punch_locked(struct file *file, const struct range *range)
{
	const struct layout *layout = file->layout;
	uint64_t end = range->end < file->size ? range->end : file->size;
	uint64_t last = layout_block_index(layout, end);

	if (range->begin >= end)
		return 0;

	uint64_t first = layout_block_index(layout, range->begin + layout->block_size - 1);

	if (first > last)
		return zero_part(file, range->begin, end);
	int r = zero_part(file, range->begin, layout_plain_offset(layout, first));

	if (r == 0)
		r = zero_part(file, layout_plain_offset(layout, last), end);
	if (r == 0 && first < last)
		r = punch_blocks(file, first, last);
	return r;
}

static int allocate_locked(struct file *file, int mode, const struct range *range)
{
	bool may_grow = !(mode & FALLOC_FL_KEEP_SIZE);
	int r = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) ? punch_locked(file, range)
								     : reserve_below(file, range);

	if (r == 0 && may_grow && range->end > file->size)
		r = grow_locked(file, range->end);
	return r;
}

static bool is_known_mode(int mode)
{
	return mode == 0 || mode == FALLOC_FL_KEEP_SIZE || mode == MODE_PUNCH ||
	       mode == FALLOC_FL_ZERO_RANGE || mode == MODE_ZERO_KEEP;
}

int file_allocate(struct file *file, int mode, uint64_t offset, uint64_t size)
{
	const struct range range = { offset, offset + size };
	int r = file_check(file);

	if (r < 0)
		return r;
	if (!is_known_mode(mode))
		return -EOPNOTSUPP;
	if (size == 0)
		return -EINVAL;
	if (!file->is_writable)
		return -EBADF;
	if (!file->is_encrypted)
		return fallocate(file->fd, mode, (off_t)offset, (off_t)size) < 0 ? -errno : 0;
	r = layout_check_range(file->layout, offset, size);
	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&file->lock);
	r = allocate_locked(file, mode, &range);
	pthread_rwlock_unlock(&file->lock);
	return r;
}
