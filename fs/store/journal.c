/* SPDX-License-Identifier: Apache-2.0 */
/* The redo journal: files, queueing and what readers see. */
#include "fs/store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/journal_internal.h"

#define PATH_SIZE_MAX 4096 /* longer ones are left out: the path is a hint */

int journal_create(struct store *store, struct journal **ret_journal)
{
	struct journal *journal = calloc(1, sizeof(*journal));

	if (journal == NULL)
		return -ENOMEM;
	journal->store = store;
	journal->area.fd = -1;
	pthread_mutex_init(&journal->mutex, NULL);
	pthread_cond_init(&journal->role_is_free, NULL);
	*ret_journal = journal;
	return 0;
}

void journal_take_role(struct journal *journal)
{
	while (journal->is_role_taken)
		pthread_cond_wait(&journal->role_is_free, &journal->mutex);
	journal->is_role_taken = true;
}

void journal_drop_role(struct journal *journal)
{
	journal->is_role_taken = false;
	pthread_cond_broadcast(&journal->role_is_free);
}

/*
 * A descriptor of our own: errors of writing back are told once to each open file description, and the caller's may be asked
 * by somebody else.  Where that is not to be had, a duplicate.
 */
static int open_again(int fd)
{
	const int user = setfsuid(geteuid());
	char path[64];
	int own_fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own_fd = open(path, O_RDWR | O_CLOEXEC);
	setfsuid((uid_t)user);
	if (own_fd < 0)
		own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return own_fd < 0 ? -errno : own_fd;
}

int journal_file_open(struct journal *journal, const struct journal_identity *identity, int fd,
		      struct journal_file **ret_file)
{
	struct journal_file *file = calloc(1, sizeof(*file));
	const char *path = identity->path != NULL ? identity->path : "";

	if (file == NULL)
		return -ENOMEM;
	file->journal = journal;
	file->snapshot = identity->snapshot;
	memcpy(file->object_id, identity->object_id, sizeof(file->object_id));
	memcpy(file->content_id, identity->content_id, sizeof(file->content_id));
	file->path = strdup(strlen(path) <= PATH_SIZE_MAX ? path : "");
	file->fd = open_again(fd);
	if (file->path == NULL || file->fd < 0) {
		int r = file->path == NULL ? -ENOMEM : file->fd;

		if (file->fd >= 0)
			close(file->fd);
		free(file->path);
		free(file);
		return r;
	}
	file->dek = dek_ref(identity->dek);

	pthread_mutex_lock(&journal->mutex);
	file->next = journal->files;
	journal->files = file;
	pthread_mutex_unlock(&journal->mutex);
	*ret_file = file;
	return 0;
}

static void file_free(struct journal_file *file)
{
	struct pending *next;

	for (struct pending *pending = file->pending_first; pending != NULL; pending = next) {
		next = pending->next_of_file;
		free(pending);
	}
	close(file->fd);
	dek_put(file->dek);
	free(file->path);
	free(file);
}

void journal_file_release(struct journal_file *file)
{
	struct journal_file **link = &file->journal->files;

	if (!file->is_closed || file->is_live || file->pending_first != NULL)
		return;
	while (*link != file)
		link = &(*link)->next;
	*link = file->next;
	file->journal->closed_files--;
	file_free(file);
}

/* With mutex and role held. */
static int ensure_area(struct journal *journal)
{
	struct journal_area area;
	int r;

	if (journal->area.fd >= 0)
		return 0;
	pthread_mutex_unlock(&journal->mutex);
	r = journal_area_create(journal->store, &area);
	pthread_mutex_lock(&journal->mutex);
	if (r < 0)
		return r;
	journal->area = area;
	journal->capacity = journal_area_capacity(&area);
	return 0;
}

static int settle(struct journal_file *file)
{
	int r = journal_commit_queue(file->journal);

	return file->error < 0 ? file->error : r;
}

/* With the mutex held: make room for a record of SIZE bytes in the queue. */
static int make_room(struct journal_file *file, size_t size)
{
	struct journal *journal = file->journal;
	int r = 0;

	journal_take_role(journal);
	r = ensure_area(journal);
	if (r == 0 && file->error < 0)
		r = settle(file);
	if (r == 0 && size > journal->capacity)
		r = -ENOSPC;
	if (r == 0 && journal->queued_size > 0 && journal->queued_size + size > JOURNAL_BATCH_MAX)
		r = journal_commit_queue(journal);
	if (r == 0 && journal->stuck_size > journal->capacity / 4)
		r = -ENOSPC;
	journal_drop_role(journal);
	return r;
}

static bool has_room(const struct journal_file *file, size_t size)
{
	const struct journal *journal = file->journal;

	return file->error == 0 && size <= journal->capacity &&
	       (journal->queued_size == 0 || journal->queued_size + size <= JOURNAL_BATCH_MAX) &&
	       journal->stuck_size <= journal->capacity / 4;
}

static int check_change(const struct journal_file *file, const struct journal_change *change)
{
	uint64_t end;

	if (change->data.size > JOURNAL_RECORD_DATA_MAX)
		return -EINVAL;
	if (__builtin_add_overflow(change->offset, (uint64_t)change->data.size, &end) ||
	    end > INT64_MAX || change->result > INT64_MAX)
		return -EFBIG;
	if (change->is_exact && end > change->result)
		return -EINVAL;
	if (change->is_open && (change->data.size < LAYOUT_BLOCK_OVERHEAD || end != change->result))
		return -EINVAL;
	if (!change->has_header)
		return 0;
	if (change->offset != 0 || change->data.size < HEADER_SIZE)
		return -EINVAL;
	/* Another DEK may not be there when this one's records are replayed: the caller retires first. */
	if (memcmp(change->data.data + HEADER_DEK_OFFSET, dek_id(file->dek)->bytes, UUID_SIZE) != 0)
		return -EINVAL;
	return 0;
}

static struct pending *pending_new(struct journal_file *file, const struct journal_change *change)
{
	struct pending *pending = calloc(1, sizeof(*pending) + change->data.size);

	if (pending == NULL)
		return NULL;
	pending->file = file;
	pending->kind = JOURNAL_RECORD_WRITE;
	pending->is_exact = change->is_exact;
	pending->has_header = change->has_header;
	pending->is_open = change->is_open;
	pending->offset = change->offset;
	pending->result = change->result;
	pending->size = change->data.size;
	if (change->data.size > 0)
		memcpy(pending->data, change->data.data, change->data.size);
	return pending;
}

/* With the mutex held. */
static void enqueue(struct journal_file *file, struct pending *pending)
{
	struct journal *journal = file->journal;

	memcpy(pending->content_id, file->content_id, sizeof(pending->content_id));
	if (pending->has_header)
		memcpy(file->content_id, pending->data + HEADER_CONTENT_ID_OFFSET,
		       sizeof(file->content_id));
	pending->ticket = ++journal->last_ticket;
	file->last_ticket = pending->ticket;
	if (file->pending_last != NULL)
		file->pending_last->next_of_file = pending;
	else
		file->pending_first = pending;
	file->pending_last = pending;
	if (journal->queue.last != NULL)
		journal->queue.last->next = pending;
	else
		journal->queue.first = pending;
	journal->queue.last = pending;
	journal->queued_size += pending_record_size(pending);
}

int journal_append(struct journal_file *file, const struct journal_change *change)
{
	struct journal *journal = file->journal;
	int r = check_change(file, change);

	if (r < 0)
		return r;

	struct pending *pending = pending_new(file, change);

	if (pending == NULL)
		return -ENOMEM;

	const size_t size = pending_record_size(pending);

	pthread_mutex_lock(&journal->mutex);
	while (r == 0 && !has_room(file, size))
		r = make_room(file, size);
	if (r == 0)
		enqueue(file, pending);
	pthread_mutex_unlock(&journal->mutex);
	if (r < 0)
		free(pending);
	return r;
}

int journal_commit(struct journal_file *file)
{
	struct journal *journal = file->journal;
	int r = 0;

	pthread_mutex_lock(&journal->mutex);

	const uint64_t ticket = file->last_ticket;

	while (file->pending_first != NULL && file->pending_first->ticket <= ticket) {
		journal_take_role(journal);
		/* Whoever had the role may have done it. */
		if (file->pending_first != NULL && file->pending_first->ticket <= ticket)
			r = journal_commit_queue(journal);
		journal_drop_role(journal);
		if (r < 0 || file->error < 0)
			break;
	}
	if (r == 0)
		r = file->error;
	pthread_mutex_unlock(&journal->mutex);
	return r;
}

int journal_retire(struct journal_file *file)
{
	struct journal *journal = file->journal;
	int r = 0;

	pthread_mutex_lock(&journal->mutex);
	journal_take_role(journal);
	if (file->pending_first != NULL)
		r = journal_commit_queue(journal);
	if (r == 0)
		r = file->error;
	if (r == 0 && file->is_live)
		r = journal_end_records(file);
	if (r < 0)
		store_report(journal->store, LOG_ERR, file->path, "changes stay in the journal: %s",
			     strerror(-r));
	file->has_open = false;
	file->is_closed = true;
	journal->closed_files++;
	journal_file_release(file);
	journal_drop_role(journal);
	pthread_mutex_unlock(&journal->mutex);
	return r;
}

int journal_settle(struct journal *journal, const uint8_t object_id[static HEADER_OBJECT_ID_SIZE])
{
	int r = 0;

	pthread_mutex_lock(&journal->mutex);
	for (struct journal_file *file = journal->closed_files > 0 ? journal->files : NULL;
	     file != NULL; file = file->next) {
		if (!file->is_closed || memcmp(file->object_id, object_id, 16) != 0)
			continue;
		if (file->pending_first == NULL && file->error == 0)
			continue;
		journal_take_role(journal);
		r = settle(file);
		if (r == 0)
			r = 1;
		journal_drop_role(journal);
		break;
	}
	pthread_mutex_unlock(&journal->mutex);
	return r;
}

void journal_overlay(struct journal_file *file, uint64_t offset, uint8_t *data, size_t size)
{
	pthread_mutex_lock(&file->journal->mutex);
	for (const struct pending *pending = file->pending_first; pending != NULL;
	     pending = pending->next_of_file) {
		const struct journal_effect effect = {
			.offset = pending->offset,
			.size = pending->size,
			.result = pending->result,
			.is_exact = pending->is_exact,
		};
		struct journal_overlap overlap = journal_overlap(&effect, offset, size);

		if (overlap.size > 0)
			memcpy(data + overlap.to, pending->data + overlap.from, overlap.size);
		if (overlap.kept < size)
			memset(data + overlap.kept, 0, size - overlap.kept);
	}
	pthread_mutex_unlock(&file->journal->mutex);
}

uint64_t journal_applied_count(struct journal_file *file)
{
	uint64_t count;

	pthread_mutex_lock(&file->journal->mutex);
	count = file->applied_count;
	pthread_mutex_unlock(&file->journal->mutex);
	return count;
}

uint64_t journal_pending_size(struct journal_file *file, uint64_t backing_size)
{
	uint64_t size = backing_size;

	pthread_mutex_lock(&file->journal->mutex);
	for (const struct pending *pending = file->pending_first; pending != NULL;
	     pending = pending->next_of_file) {
		const struct journal_effect effect = {
			.offset = pending->offset,
			.size = pending->size,
			.result = pending->result,
			.is_exact = pending->is_exact,
		};

		size = journal_size_after(&effect, size);
	}
	pthread_mutex_unlock(&file->journal->mutex);
	return size;
}

int journal_checkpoint(struct journal *journal)
{
	int r = 0;

	pthread_mutex_lock(&journal->mutex);
	journal_take_role(journal);
	if (journal->area.fd >= 0)
		r = journal_commit_queue(journal);
	if (r == 0 && journal->live_files > 0)
		r = journal_advance(journal);
	journal_drop_role(journal);
	pthread_mutex_unlock(&journal->mutex);
	return r;
}

/* With mutex and role held: is there anything that only the journal file knows? */
static int close_records(struct journal *journal)
{
	int r = journal_commit_queue(journal);

	/* Nobody writes behind protected ends any more. */
	for (struct journal_file *file = journal->files; file != NULL; file = file->next)
		file->has_open = false;
	if (r == 0 && journal->live_files > 0)
		r = journal_advance(journal);
	for (struct journal_file *file = journal->files; file != NULL && r == 0; file = file->next)
		r = file->is_live ? file->error : 0;
	return r;
}

int journal_close(struct journal *journal)
{
	int r = 0;

	if (journal == NULL)
		return 0;
	pthread_mutex_lock(&journal->mutex);
	journal_take_role(journal);
	if (journal->area.fd >= 0) {
		r = close_records(journal);
		if (r == 0)
			r = journal_area_remove(journal->store, &journal->area);
		else
			store_report(journal->store, LOG_ERR, "",
				     "the journal is kept for the next mount: %s", strerror(-r));
		journal_area_close(&journal->area);
	}
	pthread_mutex_unlock(&journal->mutex);
	while (journal->files != NULL) {
		struct journal_file *file = journal->files;

		journal->files = file->next;
		file_free(file);
	}
	pthread_cond_destroy(&journal->role_is_free);
	pthread_mutex_destroy(&journal->mutex);
	free(journal->buffer);
	free(journal);
	return r;
}
