/* SPDX-License-Identifier: Apache-2.0 */
/* SEEK_DATA and SEEK_HOLE: the filesystem below gives hints, the blocks themselves decide. */
#include <errno.h>
#include <unistd.h>

#include "fs/store/file_internal.h"

/* Is a block before the last one a hole? */
static int check_hole(struct file *file, uint64_t index, bool *ret_is_hole)
{
	struct thread_buffers *buffers = thread_buffers(file->layout);
	const size_t size = file->layout->sealed_block_size;

	if (!buffers)
		return -ENOMEM;
	/* Whoever zeroed a block has made no hole. */
	if (file->expected) {
		int known = expected_tags_fetch(file, index, 1);

		*ret_is_hole = known == 0 && expected_tag_is_hole(index);
		return known;
	}
	int r = read_sealed(file, layout_sealed_offset(file->layout, index), buffers->sealed, size);

	if (r < 0)
		return r;
	*ret_is_hole = block_is_hole(file, (struct bytes){ buffers->sealed, size });
	return 0;
}

/* The first block from INDEX on in which the filesystem below has WHENCE; INDEX if it cannot tell. */
static uint64_t hint(const struct file *file, uint64_t index, int whence)
{
	off_t at = lseek(file->fd, (off_t)layout_sealed_offset(file->layout, index), whence);
	uint64_t found = at < 0 ? index : layout_sealed_index(file->layout, (uint64_t)at);

	return found > index ? found : index;
}

/* The first block from INDEX on that is a hole, or is not; the last block where there is none. */
static int find_block(struct file *file, uint64_t index, bool want_hole, uint64_t *ret_index)
{
	uint64_t tail = tail_index(file);

	while (index < tail) {
		bool is_hole = false;

		/* Where the manifest decides, the filesystem below may have been tampered with. */
		if (!file->expected)
			index = hint(file, index, want_hole ? SEEK_HOLE : SEEK_DATA);
		if (index >= tail)
			break;
		int r = check_hole(file, index, &is_hole);

		if (r < 0)
			return r;
		if (is_hole == want_hole)
			break;
		index++;
	}
	*ret_index = index < tail ? index : tail;
	return 0;
}

static int seek_sparse(struct file *file, uint64_t offset, int whence, uint64_t *ret_offset)
{
	uint64_t index = layout_block_index(file->layout, offset);
	uint64_t found = 0;
	int r = find_block(file, index, whence == SEEK_HOLE, &found);

	if (r < 0)
		return r;

	uint64_t at = layout_plain_offset(file->layout, found);

	/* The last block is data; behind it is the hole that every file ends with. */
	if (whence == SEEK_HOLE && found == tail_index(file))
		at = file->size;
	if (whence == SEEK_DATA && at >= file->size)
		return -ENXIO;
	*ret_offset = at > offset ? at : offset;
	return 0;
}

static int seek_locked(struct file *file, uint64_t offset, int whence, uint64_t *ret_offset)
{
	if (offset >= file->size)
		return -ENXIO;
	if (!file->header.is_sparse) {
		*ret_offset = whence == SEEK_DATA ? offset : file->size;
		return 0;
	}
	/* The hints are about what is in place. */
	int r = commit_pending(file);

	return r < 0 ? r : seek_sparse(file, offset, whence, ret_offset);
}

int file_seek(struct file *file, uint64_t offset, int whence, uint64_t *ret_offset)
{
	int r = file_check(file);

	if (r < 0)
		return r;
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	if (!file->is_encrypted) {
		off_t at = lseek(file->fd, (off_t)offset, whence);

		if (at < 0)
			return -errno;
		*ret_offset = (uint64_t)at;
		return 0;
	}
	pthread_rwlock_wrlock(&file->lock);
	r = seek_locked(file, offset, whence, ret_offset);
	pthread_rwlock_unlock(&file->lock);
	return r;
}
