/* SPDX-License-Identifier: Apache-2.0 */
/* Writing: what a write changes in which blocks. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/file_internal.h"
#include "fs/store/tag_memory.h"

/* Bytes journaled since the last sync, from which on even small appends leave the journal. */
#define JOURNALED_APPENDS_MAX (UINT64_C(1) << 20)

/* One write in the making.  An edge is the first or last block where not all of it is new. */
struct change {
	const struct span *span;
	uint64_t end;
	uint64_t new_size;
	uint64_t first;
	uint64_t last;
	const uint8_t *head; /* plaintext of the first block, NULL: in the span's data */
	const uint8_t *foot; /* the same of the last, where that is another one */
	bool is_head_slot;
	bool is_foot_slot;
	struct undo_list undo;
};

static void change_begin(struct file *file, struct change *change, const struct span *span)
{
	uint64_t end = span->offset + span->size;

	*change = (struct change){
		.span = span,
		.end = end,
		.new_size = end > file->size ? end : file->size,
		.first = layout_block_index(file->layout, span->offset),
		.last = layout_block_index(file->layout, span->size ? end - 1 : end),
	};
}

/* What of a block a write replaces. */
struct part {
	uint64_t index;
	uint32_t start;
	uint32_t stop;
	const uint8_t *data;
};

static struct part part_of(const struct file *file, const struct change *change, uint64_t index)
{
	const struct span *span = change->span;
	uint64_t begin = layout_plain_offset(file->layout, index);
	uint64_t start = span->offset > begin ? span->offset - begin : 0;
	uint64_t stop = change->end - begin;

	if (stop > file->layout->block_size)
		stop = file->layout->block_size;
	return (struct part){
		.index = index,
		.start = (uint32_t)start,
		.stop = (uint32_t)stop,
		.data = span->data ? span->data + (begin + start - span->offset) : NULL,
	};
}

static void save(struct change *change, struct thread_buffers *buffers, uint8_t *place, size_t size,
		 const struct block_slot *slot)
{
	uint8_t *saved = buffers->undo + change->undo.count * buffers->block_size;

	memcpy(saved, place, size);
	change->undo.entries[change->undo.count++] = (struct undo){ place, saved, size, slot };
}

static void put(uint8_t *plain, const struct part *part)
{
	if (part->data)
		memcpy(plain + part->start, part->data, part->stop - part->start);
	else
		memset(plain + part->start, 0, part->stop - part->start);
}

static int tail_reserve(struct file *file)
{
	if (!file->tail)
		file->tail = block_get(file->layout->block_size);
	return file->tail ? 0 : -ENOMEM;
}

/* The last block, changed in file->tail: bytes behind its old end need no undo. */
static int edge_in_tail(struct file *file, struct change *change, const struct part *part,
			struct thread_buffers *buffers, const uint8_t **ret_plain)
{
	uint32_t fill = tail_fill(file);
	int r = tail_reserve(file);

	if (r < 0)
		return r;
	if (part->start < fill)
		save(change, buffers, file->tail + part->start,
		     (part->stop < fill ? part->stop : fill) - part->start, NULL);
	else
		memset(file->tail + fill, 0, part->start - fill);
	put(file->tail, part);
	*ret_plain = file->tail;
	return 0;
}

/*
 * The new plaintext of a block of which not all is in the span's data; NULL: all of it is.
 *
 *   keep   slot that is in use already
 */
static int edge(struct file *file, struct change *change, uint64_t index, struct block_slot **slot,
		const uint8_t **ret_plain)
{
	struct thread_buffers *buffers = thread_buffers(file->layout);
	const struct part part = part_of(file, change, index);
	uint32_t fill = layout_block_fill(file->layout, change->new_size, index);

	*ret_plain = NULL;
	if (!buffers)
		return -ENOMEM;
	if (part.data && part.start == 0 && part.stop == fill)
		return 0;
	if (index == tail_index(file))
		return edge_in_tail(file, change, &part, buffers, ret_plain);
	if (index > tail_index(file)) {
		memset(buffers->plain, 0, part.start);
		put(buffers->plain, &part);
		*ret_plain = buffers->plain;
		return 0;
	}
	int r = block_slot_load(file, index, *slot, slot);

	if (r < 0)
		return r;
	save(change, buffers, (*slot)->plain + part.start, part.stop - part.start, *slot);
	put((*slot)->plain, &part);
	*ret_plain = (*slot)->plain;
	return 0;
}

/* Read what partial blocks need and change it in memory. */
static int make_edges(struct file *file, struct change *change)
{
	struct block_slot *slot = NULL;

	if (change->span->size == 0)
		return 0;
	int r = edge(file, change, change->first, &slot, &change->head);

	if (r < 0)
		return r;
	change->is_head_slot = slot != NULL;
	if (change->last == change->first)
		return 0;

	struct block_slot *head_slot = slot;

	r = edge(file, change, change->last, &slot, &change->foot);
	if (r < 0) {
		undo_all(&change->undo);
		return r;
	}
	change->is_foot_slot = slot != head_slot;
	return 0;
}

/* Seal head, middle, foot and, where the file ends at a boundary, the empty last block. */
static int seal_change(struct file *file, const struct change *change, struct sealed_run *run)
{
	const struct layout *layout = file->layout;
	const struct span *span = change->span;
	bool is_end = change->new_size > file->size;
	uint64_t from = change->head ? change->first + 1 : change->first;
	uint64_t to = change->foot ? change->last : change->last + 1;
	int r = run_begin(file, run, change->first, change->new_size);

	if (r < 0)
		return r;
	if (change->head) {
		const struct bytes head = {
			change->head, layout_block_fill(layout, change->new_size, change->first)
		};

		r = run_add(file, run, head, is_end && change->first == change->last);
		if (r < 0)
			return r;
	}
	if (from < to && span->size > 0) {
		uint64_t begin = layout_plain_offset(layout, from);
		uint64_t stop = layout_plain_offset(layout, to);

		begin = begin > span->offset ? begin : span->offset;
		stop = stop < change->end ? stop : change->end;

		const struct bytes middle = { span->data + (begin - span->offset),
					      (size_t)(stop - begin) };

		r = run_add(file, run, middle, is_end && !change->foot);
		if (r < 0)
			return r;
	}
	if (change->foot) {
		const struct bytes foot = {
			change->foot, layout_block_fill(layout, change->new_size, change->last)
		};

		return run_add(file, run, foot, is_end);
	}
	return span->size == 0 ? run_add(file, run, (struct bytes){ 0 }, true) : 0;
}

/* The run is stored; what is the last block now? */
static void keep_tail(struct file *file, const struct change *change, uint64_t old_tail)
{
	const struct layout *layout = file->layout;
	uint64_t index = layout_block_index(layout, change->new_size);
	uint32_t fill = layout_block_offset(layout, change->new_size);
	uint64_t begin = layout_plain_offset(layout, index);

	if (fill == 0 || change->last < index)
		return;
	if (change->first == index && change->head) {
		if (index != old_tail)
			memcpy(file->tail, change->head, fill);
	} else if (!change->foot) {
		memcpy(file->tail, change->span->data + (begin - change->span->offset), fill);
	}
}

/* Write one run.  SIZE 0: only the empty last block, at SPAN's offset. */
static int write_run(struct file *file, const struct span *span, bool is_open)
{
	struct change change;
	struct sealed_run run;
	uint64_t old_tail = tail_index(file);
	uint64_t low;

	change_begin(file, &change, span);
	low = change.end >= file->size && old_tail < change.first ? old_tail : change.first;
	int r = prepare_change(file, low);

	if (r == 0 && change.last >= old_tail)
		r = tail_load(file);
	if (r == 0 && change.last >= old_tail)
		r = tail_reserve(file);
	if (r == 0)
		r = make_edges(file, &change);
	if (r < 0)
		return r;
	r = seal_change(file, &change, &run);
	if (r < 0) {
		undo_all(&change.undo);
		return r;
	}
	run.is_open = is_open;
	r = run_store(file, &run, &change.undo);
	if (r < 0)
		return r;
	keep_tail(file, &change, old_tail);
	/* From the old last block on: one that becomes a hole is full of zeros now. */
	slots_forget(file, low + change.is_head_slot, change.last - change.is_foot_slot);
	return 0;
}

/* The end is a block boundary: journal an empty last block that direct writes may follow. */
static int open_boundary(struct file *file, const struct span *fill)
{
	int r = write_run(file, fill, true);

	if (r == 0)
		r = commit_pending(file);
	if (r < 0)
		return r;
	file->direct_from = tail_index(file);
	file->covered_size = file->size;
	return 0;
}

int open_end(struct file *file)
{
	const struct span none = { NULL, 0, file->size };

	if (!is_journaled(file, tail_index(file)))
		return 0;
	return open_boundary(file, &none);
}

/* The first block boundary at or behind the end. */
static uint64_t end_boundary(const struct file *file)
{
	return layout_plain_offset(file->layout, tail_index(file) + (tail_fill(file) > 0));
}

/* Is this an append that is to leave the journal? */
static bool leaves_journal(const struct file *file, const struct span *span)
{
	uint64_t boundary = end_boundary(file);
	uint64_t end = span->offset + span->size;

	return is_journaled(file, tail_index(file)) && span->data && end > boundary &&
	       span->offset >= layout_plain_offset(file->layout, tail_index(file)) &&
	       (end - boundary >= file->layout->block_size ||
		file->journaled_size >= JOURNALED_APPENDS_MAX);
}

/* The end is a block boundary, the write begins in a block behind it: what is between are holes. */
static int write_behind_hole(struct file *file, const struct span *span)
{
	static const uint8_t zeros[LAYOUT_BLOCK_OVERHEAD];
	uint64_t old_size = file->size;
	uint64_t old_sealed = file->sealed_size;
	uint64_t hole = layout_sealed_offset(file->layout, tail_index(file));
	int r = open_end(file);

	if (r == 0)
		r = file_make_sparse(file);
	if (r == 0)
		r = write_run(file, span, false);
	if (r < 0)
		return r;
	/* The old empty last block lies where the hole is. */
	r = write_all(file->fd, zeros, sizeof(zeros), hole, NULL);
	if (r == 0) {
		tags_punched(file, layout_block_index(file->layout, old_size),
			     layout_block_index(file->layout, span->offset));
		return 0;
	}
	tags_forget(file);
	file->size = old_size;
	file->sealed_size = old_sealed;
	if (ftruncate(file->fd, (off_t)old_sealed) < 0 ||
	    block_rewrite(file, tail_index(file), (struct bytes){ 0 }) < 0)
		file->failure = -EIO;
	return r;
}

/* Zeros from the end to the next boundary, or to END if that comes first. */
static int fill_tail(struct file *file, uint64_t end)
{
	uint64_t boundary = end_boundary(file);
	uint64_t stop = end < boundary ? end : boundary;
	const struct span fill = { NULL, (size_t)(stop - file->size), file->size };

	return fill.size > 0 ? write_run(file, &fill, false) : 0;
}

static int write_piece(struct file *file, const struct span *span)
{
	uint64_t first = layout_block_index(file->layout, span->offset);

	if (first > tail_index(file)) {
		int r = fill_tail(file, UINT64_MAX);

		if (r < 0)
			return r;
		if (first > tail_index(file))
			return write_behind_hole(file, span);
	}
	if (!leaves_journal(file, span))
		return write_run(file, span, false);
	if (tail_fill(file) == 0) {
		int r = open_end(file);

		return r < 0 ? r : write_run(file, span, false);
	}

	size_t size = (size_t)(end_boundary(file) - span->offset);
	const struct span fill = { span->data, size, span->offset };
	const struct span rest = { span->data + size, span->size - size, span->offset + size };
	int r = open_boundary(file, &fill);

	return r < 0 ? r : write_run(file, &rest, false);
}

int write_locked(struct file *file, const struct span *span)
{
	uint64_t old_size = file->size;
	int r = write_piece(file, span);

	/* What was filled before the write failed is taken back: it was not asked for by itself. */
	if (r < 0 && file->size > old_size && span->offset > old_size && !file->failure) {
		int back = shrink_locked(file, old_size);

		if (back < 0)
			file->failure = -EIO;
	}
	return r;
}

int grow_locked(struct file *file, uint64_t size)
{
	uint64_t old_size = file->size;
	uint64_t begin = size - layout_block_offset(file->layout, size);
	int r = fill_tail(file, size);

	if (r == 0 && file->size < size) {
		const struct span last = { NULL, (size_t)(size - begin), begin };

		r = layout_block_index(file->layout, size) > tail_index(file)
			    ? write_behind_hole(file, &last)
			    : write_run(file, &last, false);
	}
	if (r < 0 && file->size > old_size && !file->failure) {
		int back = shrink_locked(file, old_size);

		if (back < 0)
			file->failure = -EIO;
	}
	return r;
}

static ssize_t write_plain(struct file *file, const uint8_t *data, size_t size, uint64_t offset)
{
	size_t written = 0;
	int r = write_all(file->fd, data, size, offset, &written);

	return r < 0 && written == 0 ? r : (ssize_t)written;
}

ssize_t file_write(struct file *file, const uint8_t *data, size_t size, uint64_t offset)
{
	size_t done = 0;
	int r = file_check(file);

	if (r < 0)
		return r;
	if (!file->is_writable)
		return -EBADF;
	if (!file->is_encrypted)
		return write_plain(file, data, size, offset);
	r = layout_check_range(file->layout, offset, size);
	if (r < 0)
		return r;

	pthread_rwlock_wrlock(&file->lock);
	while (r == 0 && done < size) {
		uint64_t at = offset + done;
		/* Pieces end at block boundaries, so only the first one can begin inside a block. */
		size_t piece = FILE_CHUNK_SIZE -
			       layout_block_offset(file->layout, at + FILE_CHUNK_SIZE);

		if (piece > size - done)
			piece = size - done;
		const struct span span = { data + done, piece, at };
		uint64_t old_size = file->size;

		r = write_locked(file, &span);
		if (r == 0)
			done += piece;
		else if (file->size > old_size)
			done += (size_t)(file->size - at); /* up to the block boundary it went */
	}
	pthread_rwlock_unlock(&file->lock);
	return r < 0 && done == 0 ? r : (ssize_t)done;
}
