/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's way to disk: one write and one sync for a batch, then every change in its place. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/journal_internal.h"
#include "fs/store/whole_file.h"

size_t pending_record_size(const struct pending *pending)
{
	return journal_record_size(strlen(pending->file->path), pending->size);
}

int pending_encode(const struct pending *pending, const struct journal_checkpoint *position,
		   uint8_t *record)
{
	const struct journal_file *file = pending->file;
	struct journal_record fields = {
		.kind = pending->kind,
		.is_exact = pending->is_exact,
		.has_header = pending->has_header,
		.is_open = pending->is_open,
		.epoch = position->epoch,
		.sequence = position->first_sequence,
		.snapshot = file->snapshot,
		.dek = *dek_id(file->dek),
		.offset = pending->offset,
		.result = pending->result,
		.path = bytes_from_text(file->path),
		.data = { pending->data, pending->size },
	};

	memcpy(fields.object_id, file->object_id, sizeof(fields.object_id));
	memcpy(fields.content_id, pending->content_id, sizeof(fields.content_id));

	const size_t size = journal_record_encode(&fields, record);
	struct bytes parts[JOURNAL_RECORD_MAC_PARTS];
	int r;

	journal_record_mac_parts(record, size, parts);
	r = dek_mac(file->dek, DEK_LABEL_JOURNAL, parts, ARRAY_SIZE(parts),
		    journal_record_mac_slot(record, size));
	if (r == 0)
		journal_record_finish(record, size);
	return r;
}

uint8_t *journal_reserve(struct journal *journal, size_t size)
{
	if (size > journal->buffer_size) {
		uint8_t *buffer = realloc(journal->buffer, size);

		if (buffer == NULL)
			return NULL;
		journal->buffer = buffer;
		journal->buffer_size = size;
	}
	return journal->buffer;
}

/*
 * Files grow by one zero byte at their new end: other threads may append behind this record at the same time, and a size read
 * before must not cut what they wrote.
 */
static int extend(int fd, uint64_t size)
{
	static const uint8_t zero;
	struct stat stat;

	if (size == 0)
		return 0;
	if (fstat(fd, &stat) < 0)
		return -errno;
	if ((uint64_t)stat.st_size >= size)
		return 0;
	return write_all(fd, &zero, 1, size - 1, NULL);
}

static int place(const struct pending *pending)
{
	const int fd = pending->file->fd;
	int r;

	r = write_all(fd, pending->data, pending->size, pending->offset, NULL);
	if (r < 0)
		return r;
	if (!pending->is_exact)
		return extend(fd, pending->result);
	do {
		r = ftruncate(fd, (off_t)pending->result) < 0 ? -errno : 0;
	} while (r == -EINTR);
	return r;
}

/* Take PENDING, which readers need no longer, out of its file's list.  With the mutex held. */
static void forget(struct pending *pending)
{
	struct journal_file *file = pending->file;
	struct pending **link = &file->pending_first;
	struct pending *before = NULL;

	while (*link != pending) {
		before = *link;
		link = &before->next_of_file;
	}
	*link = pending->next_of_file;
	if (file->pending_last == pending)
		file->pending_last = before;
	file->applied_count++;
	free(pending);
}

void journal_place_stuck(struct journal *journal)
{
	for (struct journal_file *file = journal->files; file != NULL; file = file->next) {
		while (file->is_stuck && file->pending_first != NULL &&
		       file->pending_first->is_durable) {
			struct pending *pending = file->pending_first;
			int r;

			pthread_mutex_unlock(&journal->mutex);
			r = place(pending);
			pthread_mutex_lock(&journal->mutex);
			if (r < 0) {
				file->error = r;
				break;
			}
			journal->stuck_size -= pending->size;
			forget(pending);
		}
		if (file->is_stuck &&
		    (file->pending_first == NULL || !file->pending_first->is_durable)) {
			file->is_stuck = false;
			file->error = file->sync_error;
		}
	}
}

/* Let go of closed files that have nothing left. */
static void release_files(struct journal *journal)
{
	struct journal_file *next;

	for (struct journal_file *file = journal->files; file != NULL; file = next) {
		next = file->next;
		journal_file_release(file);
	}
}

void journal_set_live(struct journal_file *file, bool is_live)
{
	if (file->is_live == is_live)
		return;
	file->is_live = is_live;
	if (is_live)
		file->journal->live_files++;
	else
		file->journal->live_files--;
}

/* The longest beginning of the queue that fits; taken out of it. */
static struct pending_list take_run(struct journal *journal, size_t *ret_size)
{
	const uint64_t room = journal->area.end - journal->area.position;
	struct pending_list run = { NULL, NULL };
	size_t run_size = 0;

	while (journal->queue.first != NULL) {
		struct pending *pending = journal->queue.first;
		const size_t size = pending_record_size(pending);

		const size_t files = journal->live_files + (pending->file->is_live ? 0 : 1);

		if (run_size + size + files * JOURNAL_RESERVE_FOR_FILE > room)
			break;
		if (run.first != NULL && run_size + size > JOURNAL_BATCH_MAX)
			break;
		journal_set_live(pending->file, true);
		run_size += size;
		run.last = pending;
		if (run.first == NULL)
			run.first = pending;
		journal->queue.first = pending->next;
	}
	if (run.last != NULL)
		run.last->next = NULL;
	if (journal->queue.first == NULL)
		journal->queue.last = NULL;
	*ret_size = run_size;
	return run;
}

static void give_run_back(struct journal *journal, const struct pending_list *run)
{
	run->last->next = journal->queue.first;
	journal->queue.first = run->first;
	if (journal->queue.last == NULL)
		journal->queue.last = run->last;
}

/* Without the mutex. */
static int write_run(struct journal *journal, const struct pending_list *run, size_t run_size)
{
	uint8_t *buffer = journal_reserve(journal, run_size);
	struct journal_checkpoint position = { journal->area.epoch, journal->area.sequence };
	size_t size = 0, count = 0;

	if (buffer == NULL)
		return -ENOMEM;
	for (struct pending *pending = run->first; pending != NULL; pending = pending->next) {
		pending->mac_error = pending_encode(pending, &position, buffer + size);
		if (pending->mac_error < 0)
			continue;
		size += pending_record_size(pending);
		position.first_sequence++;
		count++;
	}
	if (count == 0)
		return 0;
	return journal_area_append(&journal->area, (struct bytes){ buffer, size }, count);
}

/* Without the mutex: in order for each file, nothing behind what could not be placed. */
static void place_run(const struct pending_list *run)
{
	for (struct pending *pending = run->first; pending != NULL; pending = pending->next) {
		struct journal_file *file = pending->file;
		int r;

		if (pending->kind != JOURNAL_RECORD_WRITE || pending->mac_error < 0 ||
		    file->is_stuck)
			continue;
		r = place(pending);
		if (r == 0) {
			pending->is_placed = true;
			continue;
		}
		pthread_mutex_lock(&file->journal->mutex);
		file->is_stuck = true;
		file->error = r;
		pthread_mutex_unlock(&file->journal->mutex);
		store_report(file->journal->store, LOG_ERR, file->path,
			     "cannot write in place, kept in the journal: %s", strerror(-r));
	}
}

static const uint8_t *pending_content_after(const struct pending *pending)
{
	return pending->has_header ? pending->data + HEADER_CONTENT_ID_OFFSET : pending->content_id;
}

/* What recovery will find of the file from now on.  With the mutex held. */
static void note_durable(struct pending *pending)
{
	struct journal_file *file = pending->file;

	if (pending->kind == JOURNAL_RECORD_APPLIED) {
		journal_set_live(file, false);
		file->has_open = false;
		return;
	}
	pending->is_durable = true;
	journal_set_live(file, true);
	file->has_open = pending->is_open;
	if (!pending->is_open)
		return;
	memcpy(file->open_end, pending->data + pending->size - sizeof(file->open_end),
	       sizeof(file->open_end));
	file->open_result = pending->result;
	memcpy(file->open_content_id, pending_content_after(pending),
	       sizeof(file->open_content_id));
}

static void note_run_durable(struct journal *journal, const struct pending_list *run)
{
	for (struct pending *pending = run->first; pending != NULL; pending = pending->next) {
		journal->queued_size -= pending_record_size(pending);
		if (pending->mac_error == 0)
			note_durable(pending);
		else if (pending->kind == JOURNAL_RECORD_WRITE)
			pending->file->error = pending->mac_error;
	}
}

/* Placed records and those of lost DEKs are done with. */
static void forget_run(struct journal *journal, const struct pending_list *run)
{
	struct pending *next;

	for (struct pending *pending = run->first; pending != NULL; pending = next) {
		next = pending->next;
		pending->next = NULL;
		if (pending->kind == JOURNAL_RECORD_APPLIED)
			free(pending);
		else if (pending->is_placed || pending->mac_error < 0)
			forget(pending);
		else
			journal->stuck_size += pending->size;
	}
}

int journal_commit_run(struct journal *journal)
{
	size_t size;
	const struct pending_list run = take_run(journal, &size);
	int r;

	if (run.first == NULL)
		return -EAGAIN;
	pthread_mutex_unlock(&journal->mutex);
	r = write_run(journal, &run, size);
	pthread_mutex_lock(&journal->mutex);
	if (r < 0) {
		give_run_back(journal, &run);
		return r;
	}
	note_run_durable(journal, &run);
	pthread_mutex_unlock(&journal->mutex);
	place_run(&run);
	pthread_mutex_lock(&journal->mutex);
	forget_run(journal, &run);
	release_files(journal);
	return 0;
}

int journal_commit_queue(struct journal *journal)
{
	const uint64_t ticket = journal->last_ticket;
	bool has_advanced = false;

	journal_place_stuck(journal);
	while (journal->queue.first != NULL && journal->queue.first->ticket <= ticket) {
		int r = journal_commit_run(journal);

		if (r == -EAGAIN && has_advanced)
			return -ENOSPC;
		has_advanced = r == -EAGAIN;
		if (has_advanced)
			r = journal_advance(journal);
		if (r < 0)
			return r;
	}
	return 0;
}

/* With role and mutex held, the mutex let go of meanwhile. */
int journal_sync_file(struct journal_file *file)
{
	struct journal *journal = file->journal;
	int r;

	if (file->sync_error < 0)
		return file->sync_error;
	pthread_mutex_unlock(&journal->mutex);
	do {
		r = fdatasync(file->fd) < 0 ? -errno : 0;
	} while (r == -EINTR);
	pthread_mutex_lock(&journal->mutex);
	if (r == 0)
		return 0;
	/* The kernel tells this once and forgets what it could not write: only the records have it now. */
	file->sync_error = r;
	file->error = r;
	store_report(journal->store, LOG_ERR, file->path,
		     "cannot be synced, kept in the journal: %s", strerror(-r));
	return r;
}

int journal_end_records(struct journal_file *file)
{
	struct journal *journal = file->journal;
	struct pending *applied;
	int r;

	r = journal_sync_file(file);
	if (r < 0)
		return r;
	applied = calloc(1, sizeof(*applied));
	if (applied == NULL)
		return -ENOMEM;
	applied->file = file;
	applied->kind = JOURNAL_RECORD_APPLIED;
	memcpy(applied->content_id, file->content_id, sizeof(applied->content_id));

	/* In front of what others have queued: it speaks of what came before it only. */
	applied->next = journal->queue.first;
	journal->queue.first = applied;
	if (journal->queue.last == NULL)
		journal->queue.last = applied;
	journal->queued_size += pending_record_size(applied);
	r = journal_commit_run(journal);
	if (r == -EAGAIN) {
		assert(journal->queue.first == applied);
		journal->queue.first = applied->next;
		if (journal->queue.first == NULL)
			journal->queue.last = NULL;
		journal->queued_size -= pending_record_size(applied);
		free(applied);
	} else if (r < 0) {
		return r;
	}
	if (!file->is_live)
		return 0;
	file->has_open = false;
	return journal_advance(journal);
}
