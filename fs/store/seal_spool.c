/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a manifest while it is being made: fs/store/seal_spool.h. */
#include "fs/store/seal_spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs/store/file_internal.h"

static int take_buffer(struct spool *spool)
{
	spool->buffer = malloc(SPOOL_BUFFER_SIZE);
	return spool->buffer ? 0 : -ENOMEM;
}

int spool_open(struct spool *spool, const char *directory)
{
	*spool = (struct spool){ .fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) };
	/* Not every filesystem has files without a name; memory does for what it can hold. */
	if (spool->fd < 0)
		spool->fd = memfd_create("snapcrypt-seal", MFD_CLOEXEC);
	return spool->fd < 0 ? -errno : take_buffer(spool);
}

int spool_open_file(struct spool *spool, struct file *file)
{
	*spool = (struct spool){ .file = file, .fd = -1 };
	return take_buffer(spool);
}

void spool_close(struct spool *spool)
{
	if (!spool->buffer)
		return;
	explicit_bzero(spool->buffer, SPOOL_BUFFER_SIZE);
	free(spool->buffer);
	if (spool->file)
		(void)file_close(spool->file, NULL);
	if (spool->fd >= 0)
		close(spool->fd);
	*spool = (struct spool){ .fd = -1 };
}

static int write_encrypted(struct spool *spool, uint64_t offset)
{
	for (size_t done = 0; done < spool->fill;) {
		const ssize_t n = file_write(spool->file, spool->buffer + done, spool->fill - done,
					     offset + done);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int spool_flush(struct spool *spool)
{
	const uint64_t offset = spool->size - spool->fill;
	int r;

	if (spool->fill == 0)
		return 0;
	r = spool->file ? write_encrypted(spool, offset)
			: write_all(spool->fd, spool->buffer, spool->fill, offset, NULL);
	if (r == 0)
		spool->fill = 0;
	return r;
}

int spool_append(struct spool *spool, const void *data, size_t size)
{
	const uint8_t *from = data;
	int r = spool->hash ? hash_update(spool->hash, (struct bytes){ from, size }) : 0;

	while (r == 0 && size > 0) {
		const size_t room = SPOOL_BUFFER_SIZE - spool->fill;
		const size_t piece = size < room ? size : room;

		memcpy(spool->buffer + spool->fill, from, piece);
		spool->fill += piece;
		spool->size += piece;
		from += piece;
		size -= piece;
		/* Whole buffers only: so each block of an encrypted file is written once. */
		if (spool->fill == SPOOL_BUFFER_SIZE)
			r = spool_flush(spool);
	}
	return r;
}

static int read_below(struct spool *spool, uint64_t offset, uint8_t *data, size_t size)
{
	while (size > 0) {
		const ssize_t n = spool->file ? file_read(spool->file, data, size, offset)
					      : read_all(spool->fd, data, size, offset);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		data += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

int spool_read(struct spool *spool, uint64_t offset, void *data, size_t size)
{
	const uint64_t below = spool->size - spool->fill;
	uint8_t *into = data;

	if (offset > spool->size || size > spool->size - offset)
		return -EINVAL;
	if (offset < below) {
		const size_t piece = size < below - offset ? size : (size_t)(below - offset);
		int r = read_below(spool, offset, into, piece);

		if (r < 0)
			return r;
		into += piece;
		offset += piece;
		size -= piece;
	}
	memcpy(into, spool->buffer + (offset - below), size);
	return 0;
}

int spool_patch(struct spool *spool, uint64_t offset, const void *data, size_t size)
{
	int r = spool_flush(spool);

	return r < 0 ? r : write_all(spool->fd, data, size, offset, NULL);
}

int spool_cut(struct spool *spool, uint64_t size)
{
	int r = spool_flush(spool);

	if (r == 0 && ftruncate(spool->fd, (off_t)size) < 0)
		r = -errno;
	if (r == 0)
		spool->size = size;
	return r;
}

int spool_copy(struct spool *from, struct spool *to)
{
	uint8_t *piece = malloc(SPOOL_BUFFER_SIZE);
	int r = piece ? 0 : -ENOMEM;

	for (uint64_t at = 0; r == 0 && at < from->size; at += SPOOL_BUFFER_SIZE) {
		const size_t size = from->size - at < SPOOL_BUFFER_SIZE ? (size_t)(from->size - at)
									: SPOOL_BUFFER_SIZE;

		r = spool_read(from, at, piece, size);
		if (r == 0)
			r = spool_append(to, piece, size);
	}
	if (piece)
		explicit_bzero(piece, SPOOL_BUFFER_SIZE);
	free(piece);
	return r;
}
