/* SPDX-License-Identifier: Apache-2.0 */
/* The data path: read and write. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/mount/ops.h"
#include "fs/mount/reply.h"

#define READ_MAX (1U << 20)

/* From this size on a request takes longer than waking another thread. */
#define LONG_REQUEST (64U << 10)

/* Smaller writes are copied to a buffer of their own size when they are queued: the request's has room for 1 MiB. */
#define COPIED_WRITE (64U << 10)

static const struct handle *handle_of(const struct fuse_file_info *info)
{
	return (const struct handle *)(uintptr_t)info->fh;
}

static ssize_t read_file(struct mount *mount, const struct handle *handle, uint8_t *buffer,
			 size_t size, off_t offset)
{
	int r = handle_use(mount, handle);

	if (r < 0)
		return r;
	if (size >= LONG_REQUEST || handle->open->submitted != handle->open->settled)
		loop_expect_delay();
	r = open_file_settle(mount->files, handle->open);
	ssize_t got = r < 0 ? r : file_read(handle->open->file, buffer, size, (uint64_t)offset);

	open_file_done(handle->open);
	return got;
}

void op_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset, struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);
	size_t wanted = size < READ_MAX ? size : READ_MAX;
	uint8_t *buffer = loop_reply_memory(wanted);
	ssize_t got = buffer ? read_file(mount, handle_of(info), buffer, wanted, offset) : -ENOMEM;

	if (got < 0)
		reply_failure(req, (int)got, nodes_find(mount->nodes, id));
	else
		fuse_reply_buf(req, (const char *)buffer, (size_t)got);
}

/* libfuse 3.14 does not pass this flag on, so it is read from the request itself. */
static uint32_t write_flags(void)
{
	const struct fuse_in_header *header = loop_request();
	struct fuse_write_in in;

	if (!header || header->opcode != FUSE_WRITE)
		return 0;
	memcpy(&in, header + 1, sizeof(in));
	return in.write_flags;
}

static int clear_special_bits(struct open_file *open)
{
	struct stat stat;

	if (open->has_no_special_bits)
		return 0;
	if (fstat(file_fd(open->file), &stat) < 0)
		return -errno;
	mode_t mode = stat.st_mode & 07777 & ~(mode_t)S_ISUID;

	/* Without group execution the bit is a lock mark of old and stays. */
	if (mode & S_IXGRP)
		mode &= ~(mode_t)S_ISGID;
	if (mode != (stat.st_mode & 07777) && fchmod(file_fd(open->file), mode) < 0)
		return -errno;
	open->has_no_special_bits = true;
	return 0;
}

/* What must be gone before the first byte changes.  A cached write has had this done by the kernel. */
static int drop_privileges(struct mount *mount, const struct handle *handle)
{
	int r = 0;

	if (write_flags() & FUSE_WRITE_KILL_SUIDGID) {
		r = open_file_use(handle->open);
		if (r == 0) {
			r = clear_special_bits(handle->open);
			open_file_done(handle->open);
		}
	}
	return r < 0 || handle->is_cached ? r : ops_drop_capability(mount, handle->open);
}

static void free_copy(void *buffer)
{
	free(buffer);
}

static ssize_t submit(struct mount *mount, struct open_file *open, const char *data, size_t size,
		      off_t offset)
{
	struct queued_write write = {
		.file = open->file,
		.data = (const uint8_t *)data,
		.size = size,
		.offset = (uint64_t)offset,
	};

	if (size < COPIED_WRITE) {
		write.buffer = malloc(size);
		if (!write.buffer)
			return -ENOMEM;
		write.data = memcpy(write.buffer, data, size);
		write.release = free_copy;
	} else {
		write.buffer = loop_take_buffer();
		write.release = buffer_put;
	}
	open->submitted++;
	int r = write_queue_submit(mount->queue, &write);

	if (r < 0) {
		write.release(write.buffer);
		return r;
	}
	return (ssize_t)size;
}

/*
 * A first small write is done here: files of one write are the common case in a tree of small files, and the close that follows
 * would wait for another thread.  Write-back of pages has nobody who could hear of a later error.
 */
static ssize_t write_or_queue(struct mount *mount, struct open_file *open, const char *data,
			      size_t size, off_t offset, bool is_write_back)
{
	bool is_idle = open->submitted == open->settled;
	bool is_first = open->written == open->flushed;

	open->written++;
	node_clear(open->node, NODE_IS_CACHE_VALID);
	if (!is_write_back && !(is_idle && is_first && size < COPIED_WRITE))
		return submit(mount, open, data, size, offset);
	int r = open_file_settle(mount->files, open);

	return r < 0 ? r : file_write(open->file, (const uint8_t *)data, size, (uint64_t)offset);
}

static ssize_t write_file(struct mount *mount, const struct handle *handle, const char *data,
			  size_t size, off_t offset, bool is_write_back)
{
	int r = handle_use(mount, handle);

	if (r < 0)
		return r;
	ssize_t done = write_or_queue(mount, handle->open, data, size, offset, is_write_back);

	open_file_done(handle->open);
	return done;
}

void op_write(fuse_req_t req, fuse_ino_t id, const char *data, size_t size, off_t offset,
	      struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);
	const struct handle *handle = handle_of(info);
	ssize_t done = drop_privileges(mount, handle);

	if (done == 0)
		done = write_file(mount, handle, data, size, offset, info->writepage);
	if (done < 0)
		reply_failure(req, (int)done, nodes_find(mount->nodes, id));
	else if (!handle->is_cached && handle->open->cached_handles > 0)
		notifier_reply_write(mount->notifier, req, id, offset, (size_t)done);
	else
		fuse_reply_write(req, (size_t)done);
}
