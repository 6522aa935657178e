/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed changes to the backing file.
 *
 * A run is written with one pwrite.  When that fails half-way, the file must be well-formed all the
 * same: what was torn is put back, from the plaintext in memory or from a copy of the ciphertext,
 * and a file that was being extended ends where it ended before.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/file_internal.h"
#include "fs/store/tag_memory.h"

#define ZFS_MAGIC      0x2fc12fc1
#define BCACHEFS_MAGIC 0xca451a4e

static bool is_copy_on_write(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return true;
	return fs.f_type == BTRFS_SUPER_MAGIC || fs.f_type == F2FS_SUPER_MAGIC ||
	       fs.f_type == ZFS_MAGIC || fs.f_type == (__fsword_t)BCACHEFS_MAGIC;
}

bool may_tear(struct file *file)
{
	return file->header.is_sparse || is_copy_on_write(file->fd);
}

int run_begin(struct file *file, struct sealed_run *run, uint64_t first, uint64_t new_size)
{
	struct thread_buffers *buffers = thread_buffers(file->layout);

	if (!buffers)
		return -ENOMEM;
	if (file->seal_count >= FILE_SEALS_MAX)
		return -EFBIG;
	*run = (struct sealed_run){
		.first = first,
		.next = first,
		.data = buffers->sealed,
		.capacity = buffers->sealed_size,
		.new_size = new_size,
	};
	return 0;
}

int run_add(struct file *file, struct sealed_run *run, struct bytes plain, bool is_end)
{
	const uint32_t block_size = file->layout->block_size;
	size_t count = (plain.size + block_size - 1) / block_size;

	if (is_end && plain.size % block_size == 0)
		count++;
	if (count == 0)
		return 0;

	const struct aead_run blocks = { block_size, count, run->next };
	size_t size = plain.size + count * AEAD_OVERHEAD;

	if (size > run->capacity - run->size)
		return -EINVAL;
	int r = aead_seal_blocks(file->key, &blocks, plain, run->data + run->size);

	if (r < 0)
		return r;
	run->size += size;
	run->next += count;
	return 0;
}

void undo_all(const struct undo_list *undo)
{
	for (size_t i = 0; i < undo->count; i++) {
		const struct undo *entry = &undo->entries[i];

		memcpy(entry->place, entry->saved, entry->size);
	}
}

/* Ciphertext that is about to be overwritten, where that may fail in the middle. */
struct image {
	uint8_t *data;
	size_t size;
};

static int take_image(struct file *file, const struct sealed_run *run, struct image *ret_image)
{
	uint64_t begin = layout_sealed_offset(file->layout, run->first);
	uint64_t end = layout_sealed_offset(file->layout, tail_index(file));
	size_t size = 0;

	if (run->is_exact)
		size = run->size;
	else if (begin < end && may_tear(file))
		size = end - begin < run->size ? (size_t)(end - begin) : run->size;
	*ret_image = (struct image){ 0 };
	if (size == 0)
		return 0;

	struct thread_buffers *buffers = thread_buffers(file->layout);
	uint8_t *data = buffers ? thread_image(buffers, size) : NULL;

	if (!data)
		return -ENOMEM;
	ssize_t n = read_all(file->fd, data, size, begin);

	if (n < 0)
		return (int)n;
	*ret_image = (struct image){ data, (size_t)n };
	return 0;
}

static int put_back(struct file *file, const uint8_t *data, size_t size, uint64_t offset)
{
	size_t written = 0;

	return write_all(file->fd, data, size, offset, &written);
}

int block_rewrite(struct file *file, uint64_t index, struct bytes plain)
{
	struct thread_buffers *buffers = thread_buffers(file->layout);
	const struct aead_run run = { file->layout->block_size, 1, index };

	if (!buffers)
		return -ENOMEM;
	tags_forget(file);
	int r = aead_seal_blocks(file->key, &run, plain, buffers->sealed);

	if (r < 0)
		return r;
	return put_back(file, buffers->sealed, plain.size + AEAD_OVERHEAD,
			layout_sealed_offset(file->layout, index));
}

/* The full block in which a failed write ended.  0 also where nobody has its old contents. */
static int restore_torn(struct file *file, uint64_t index, const struct undo_list *undo)
{
	for (size_t i = 0; i < undo->count; i++) {
		const struct block_slot *slot = undo->entries[i].slot;

		if (slot && slot->index == index)
			return block_rewrite(file, index,
					     (struct bytes){ slot->plain, slot->fill });
	}
	store_report(file->store, LOG_ERR, file->path,
		     "block %" PRIu64 " was cut by a failed write", index);
	return 0;
}

/* Memory is as before; make the file so.  WRITTEN bytes of the run had reached it. */
static int take_back(struct file *file, const struct sealed_run *run, const struct undo_list *undo,
		     const struct image *image, size_t written)
{
	const struct layout *layout = file->layout;
	uint64_t begin = layout_sealed_offset(layout, run->first);
	uint64_t tail = tail_index(file);
	int r = 0;

	if (written == 0)
		return 0;
	if (image->size > 0)
		r = put_back(file, image->data, image->size < written ? image->size : written,
			     begin);
	else if (run->first + written / layout->sealed_block_size < tail &&
		 written % layout->sealed_block_size != 0)
		r = restore_torn(file, run->first + written / layout->sealed_block_size, undo);
	if (r == 0 && !run->is_exact && begin + written > layout_sealed_offset(layout, tail))
		r = block_rewrite(file, tail, (struct bytes){ file->tail, tail_fill(file) });
	/* Only an extended file is longer now; one whose cut failed has its old size. */
	if (r == 0 && begin + written > file->sealed_size &&
	    ftruncate(file->fd, (off_t)file->sealed_size) < 0)
		r = -errno;
	return r;
}

static int store_direct(struct file *file, const struct sealed_run *run,
			const struct undo_list *undo)
{
	uint64_t offset = layout_sealed_offset(file->layout, run->first);
	struct image image = { 0 };
	size_t written = 0;
	int r = take_image(file, run, &image);

	if (r < 0) {
		undo_all(undo);
		return r;
	}
	r = write_all(file->fd, run->data, run->size, offset, &written);
	if (r == 0 && run->is_exact && ftruncate(file->fd, (off_t)(offset + run->size)) < 0)
		r = -errno;
	if (r == 0)
		return 0;

	undo_all(undo);
	int back = take_back(file, run, undo, &image, written);

	if (back < 0) {
		store_report(file->store, LOG_ERR, file->path,
			     "a failed write could not be taken back: %s", strerror(-back));
		file->failure = -EIO;
	}
	return r;
}

int run_store(struct file *file, const struct sealed_run *run, const struct undo_list *undo)
{
	uint64_t sealed_size = 0;
	int r = layout_sealed_size(file->layout, run->new_size, &sealed_size);

	tags_prepare(file);
	if (r == 0 && is_journaled(file, run->first)) {
		r = journal_run(file, run);
		if (r < 0)
			undo_all(undo);
	} else if (r == 0) {
		r = store_direct(file, run, undo);
	} else {
		undo_all(undo);
	}
	if (r < 0) {
		slots_forget(file, run->first, run->next - 1);
		return r;
	}
	tags_stored(file, run->first, run->data, run->size,
		    layout_block_count(file->layout, run->new_size));
	file->seal_count += run->next - run->first;
	file->sealed_size = sealed_size;
	file->size = run->new_size;
	if (file->size_high < run->new_size)
		file->size_high = run->new_size;
	return 0;
}
