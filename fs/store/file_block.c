/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of a backing file: read, verified, and kept while they are in use. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/file_internal.h"

static int overlay_journal(struct file *file, uint64_t offset, uint8_t *data, size_t size)
{
	/* Bytes that move into place between pread() and overlay would be missed: look again. */
	for (;;) {
		uint64_t before = journal_applied_count(file->journal);
		ssize_t n = read_all(file->fd, data, size, offset);

		if (n < 0)
			return (int)n;
		/* What nobody supplies must not look like a hole. */
		memset(data + n, 0xff, size - (size_t)n);
		journal_overlay(file->journal, offset, data, size);
		if (journal_applied_count(file->journal) == before)
			return 0;
	}
}

int read_sealed(struct file *file, uint64_t offset, uint8_t *data, size_t size)
{
	if (file->journal && file->has_pending)
		return overlay_journal(file, offset, data, size);

	ssize_t n = read_all(file->fd, data, size, offset);

	if (n < 0)
		return (int)n;
	if (file->recovery) {
		memset(data + n, 0xff, size - (size_t)n);
		(void)recovery_overlay(file->recovery, file->header.object_id,
				       file->stored_content_id, &file->backing, offset, data, size);
		return 0;
	}
	return (size_t)n == size ? 0 : -EBADMSG;
}

bool block_is_hole(const struct file *file, struct bytes sealed)
{
	return file->header.is_sparse && sealed.size == file->layout->sealed_block_size &&
	       bytes_are_zero(sealed);
}

/* How many blocks from INDEX on, at most LIMIT, are holes (or are not). */
static uint64_t count_alike(const struct file *file, const uint8_t *sealed, size_t size,
			    bool *ret_is_hole)
{
	const size_t step = file->layout->sealed_block_size;
	uint64_t count = 0;

	for (size_t at = 0; at < size; at += step, count++) {
		size_t left = size - at;
		bool is_hole = block_is_hole(file, (struct bytes){ sealed + at,
								   left < step ? left : step });

		if (count == 0)
			*ret_is_hole = is_hole;
		else if (is_hole != *ret_is_hole)
			break;
	}
	return count;
}

static int open_run(struct file *file, const struct sealed_blocks *blocks, uint8_t *plain,
		    uint64_t *ret_failed)
{
	const struct aead_run run = {
		.block_size = file->layout->block_size,
		.block_count = (size_t)blocks->count,
		.first_index = blocks->first,
	};

	return aead_open_blocks(file->key, &run, blocks->sealed, plain, ret_failed);
}

static int open_sparse(struct file *file, const struct sealed_blocks *blocks, uint8_t *plain,
		       uint64_t *ret_failed)
{
	const struct layout *layout = file->layout;
	struct bytes left = blocks->sealed;
	uint64_t index = blocks->first;

	while (left.size > 0) {
		bool is_hole = false;
		uint64_t count = count_alike(file, left.data, left.size, &is_hole);
		size_t sealed = (size_t)count * layout->sealed_block_size;

		if (sealed > left.size)
			sealed = left.size;

		size_t size = sealed - (size_t)count * LAYOUT_BLOCK_OVERHEAD;
		const struct sealed_blocks part = { index, count, { left.data, sealed } };

		if (is_hole) {
			memset(plain, 0, size);
		} else {
			int r = open_run(file, &part, plain, ret_failed);

			if (r < 0)
				return r;
		}
		plain += size;
		index += count;
		left.data += sealed;
		left.size -= sealed;
	}
	return 0;
}

int open_sealed(struct file *file, const struct sealed_blocks *blocks, uint8_t *plain,
		uint64_t *ret_failed)
{
	*ret_failed = blocks->first;
	int r = expected_tags_check(file, blocks, ret_failed);

	if (r < 0)
		return r;
	if (file->header.is_sparse)
		return open_sparse(file, blocks, plain, ret_failed);
	return open_run(file, blocks, plain, ret_failed);
}

void block_report(struct file *file, uint64_t index)
{
	for (size_t i = 0; i < FILE_REPORTS_MAX; i++) {
		uint64_t seen = 0;

		if (atomic_compare_exchange_strong(&file->reports[i], &seen, index + 1)) {
			store_report(file->store, LOG_ERR, file->path,
				     "block %" PRIu64 " is not authentic", index);
			return;
		}
		if (seen == index + 1)
			return;
	}
}

int block_try(struct file *file, uint64_t index, uint8_t *plain)
{
	struct thread_buffers *buffers = thread_buffers(file->layout);
	size_t sealed_size = layout_block_fill(file->layout, file->size, index) +
			     LAYOUT_BLOCK_OVERHEAD;
	uint64_t failed = index;

	if (!buffers)
		return -ENOMEM;
	int r = expected_tags_fetch(file, index, 1);

	if (r == 0)
		r = read_sealed(file, layout_sealed_offset(file->layout, index), buffers->sealed,
				sealed_size);
	if (r < 0)
		return r;
	const struct sealed_blocks block = { index, 1, { buffers->sealed, sealed_size } };

	return open_sealed(file, &block, plain, &failed);
}

int block_load(struct file *file, uint64_t index, uint8_t *plain)
{
	int r = block_try(file, index, plain);

	if (r == -EBADMSG)
		block_report(file, index);
	return r;
}

/* ---- blocks in memory ------------------------------------------------------------------------ */

static struct block_slot *slot_find(struct file *file, uint64_t index)
{
	for (size_t i = 0; i < file->slot_count; i++) {
		if (file->slots[i].is_valid && file->slots[i].index == index)
			return &file->slots[i];
	}
	return NULL;
}

static struct block_slot *slot_next(struct file *file, const struct block_slot *keep)
{
	struct block_slot *slot = &file->slots[file->next_slot++ % file->slot_count];

	if (slot == keep)
		slot = &file->slots[file->next_slot++ % file->slot_count];
	return slot;
}

int block_slot_load(struct file *file, uint64_t index, const struct block_slot *keep,
		    struct block_slot **ret_slot)
{
	const uint32_t fill = layout_block_fill(file->layout, file->size, index);
	struct block_slot *slot = slot_find(file, index);

	if (slot && slot->fill == fill) {
		*ret_slot = slot;
		return 0;
	}
	if (!slot)
		slot = slot_next(file, keep);
	slot->is_valid = false;
	if (!slot->plain)
		slot->plain = block_get(file->layout->block_size);
	if (!slot->plain)
		return -ENOMEM;
	int r = block_load(file, index, slot->plain);

	if (r < 0)
		return r;
	slot->index = index;
	slot->fill = fill;
	slot->is_valid = true;
	*ret_slot = slot;
	return 0;
}

void slots_forget(struct file *file, uint64_t first, uint64_t last)
{
	for (size_t i = 0; i < file->slot_count; i++) {
		struct block_slot *slot = &file->slots[i];

		if (slot->is_valid && slot->index >= first && slot->index <= last)
			slot->is_valid = false;
	}
}

void slots_offer(struct file *file, uint64_t index, uint32_t fill, uint8_t **plain)
{
	pthread_mutex_lock(&file->cache_lock);
	struct block_slot *slot = slot_find(file, index);

	if (!slot)
		slot = slot_next(file, NULL);

	uint8_t *previous = slot->plain;

	*slot = (struct block_slot){ *plain, index, fill, true };
	*plain = previous;
	pthread_mutex_unlock(&file->cache_lock);
}

bool slots_copy(struct file *file, uint64_t index, uint32_t start, uint8_t *data, size_t size)
{
	pthread_mutex_lock(&file->cache_lock);
	const struct block_slot *slot = slot_find(file, index);
	bool is_there = slot && start + size <= slot->fill;

	if (is_there)
		memcpy(data, slot->plain + start, size);
	pthread_mutex_unlock(&file->cache_lock);
	return is_there;
}

void slots_keep_many(struct file *file)
{
	struct block_slot *slots = calloc(FILE_SLOTS_MANY, sizeof(*slots));

	if (!slots)
		return;
	pthread_mutex_lock(&file->cache_lock);
	memcpy(slots, file->slots, file->slot_count * sizeof(*slots));
	if (file->slots != file->own_slots)
		free(file->slots);
	file->slots = slots;
	file->slot_count = FILE_SLOTS_MANY;
	pthread_mutex_unlock(&file->cache_lock);
}

void plain_forget(struct file *file)
{
	const size_t block_size = file->layout->block_size;
	size_t used = file->size_high < block_size ? (size_t)file->size_high : block_size;

	block_put(TAKE(file->tail), block_size, used);
	file->has_tail = false;
	for (size_t i = 0; i < file->slot_count; i++) {
		block_put(file->slots[i].plain, block_size, used);
		file->slots[i] = (struct block_slot){ 0 };
	}
}

int tail_load(struct file *file)
{
	if (file->has_tail)
		return 0;
	if (!file->tail)
		file->tail = block_get(file->layout->block_size);
	if (!file->tail)
		return -ENOMEM;

	int r = block_load(file, tail_index(file), file->tail);

	file->has_tail = r == 0;
	return r;
}
