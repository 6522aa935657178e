/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The next epoch of a journal: everything of this one is synced in its place, and what must stay live is written again.
 *
 * That is what could not be placed, and the ends that `open` records protect: writers go on behind those without the journal.
 * Of an `open` record only the last block is written again, since the data before it are durable now.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/journal_internal.h"

struct carried {
	uint8_t *buffer;
	size_t size;
	size_t count;
	struct journal_checkpoint position;
};

static bool has_unplaced(const struct journal_file *file)
{
	return file->pending_first != NULL && file->pending_first->is_durable;
}

/* Bytes of what FILE carries over. */
static size_t carried_size(const struct journal_file *file)
{
	size_t size = 0;

	for (const struct pending *pending = file->pending_first;
	     pending != NULL && pending->is_durable; pending = pending->next_of_file)
		size += pending_record_size(pending);
	if (size == 0 && file->has_open)
		size = journal_record_size(strlen(file->path), sizeof(file->open_end));
	return size;
}

static int carry(struct carried *carried, const struct pending *pending)
{
	int r = pending_encode(pending, &carried->position, carried->buffer + carried->size);

	if (r < 0)
		return r;
	carried->size += pending_record_size(pending);
	carried->count++;
	carried->position.first_sequence++;
	return 0;
}

static int carry_open_end(struct carried *carried, struct journal_file *file)
{
	struct pending *pending = calloc(1, sizeof(*pending) + sizeof(file->open_end));
	int r;

	if (pending == NULL)
		return -ENOMEM;
	pending->file = file;
	pending->kind = JOURNAL_RECORD_WRITE;
	pending->is_open = true;
	pending->offset = file->open_result - sizeof(file->open_end);
	pending->result = file->open_result;
	pending->size = sizeof(file->open_end);
	memcpy(pending->content_id, file->open_content_id, sizeof(pending->content_id));
	memcpy(pending->data, file->open_end, sizeof(file->open_end));
	r = carry(carried, pending);
	free(pending);
	return r;
}

static int carry_file(struct carried *carried, struct journal_file *file)
{
	if (!has_unplaced(file))
		return file->has_open ? carry_open_end(carried, file) : 0;
	for (const struct pending *pending = file->pending_first;
	     pending != NULL && pending->is_durable; pending = pending->next_of_file) {
		int r = carry(carried, pending);

		if (r < 0)
			return r;
	}
	return 0;
}

static int carry_all(struct journal *journal, struct carried *carried)
{
	size_t size = 0, reserve = 0;

	for (const struct journal_file *file = journal->files; file != NULL; file = file->next) {
		const size_t size_of_file = carried_size(file);

		size += size_of_file;
		reserve += size_of_file > 0 ? JOURNAL_RESERVE_FOR_FILE : 0;
	}
	if (size == 0)
		return 0;
	if (size + reserve > journal->capacity)
		return -ENOSPC;
	carried->buffer = journal_reserve(journal, size);
	if (carried->buffer == NULL)
		return -ENOMEM;
	for (struct journal_file *file = journal->files; file != NULL; file = file->next) {
		int r = carry_file(carried, file);

		if (r < 0)
			return r;
	}
	return 0;
}

static int sync_live_files(struct journal *journal)
{
	for (struct journal_file *file = journal->files; file != NULL; file = file->next) {
		if (!file->is_live)
			continue;

		int r = journal_sync_file(file);

		if (r < 0)
			return r;
	}
	return 0;
}

int journal_advance(struct journal *journal)
{
	struct carried carried = {
		.position = { journal->area.epoch + 1, journal->area.sequence },
	};
	struct journal_file *next;
	int r;

	journal_place_stuck(journal);
	r = sync_live_files(journal);
	if (r == 0)
		r = carry_all(journal, &carried);
	if (r < 0)
		return r;
	pthread_mutex_unlock(&journal->mutex);
	r = journal_area_advance(&journal->area, (struct bytes){ carried.buffer, carried.size },
				 carried.count);
	pthread_mutex_lock(&journal->mutex);
	if (r < 0)
		return r;
	for (struct journal_file *file = journal->files; file != NULL; file = next) {
		next = file->next;
		journal_set_live(file, has_unplaced(file) || file->has_open);
		journal_file_release(file);
	}
	return 0;
}
