/* SPDX-License-Identifier: Apache-2.0 */
/* Open files: waiting for queued writes, flushing, withdrawing with a key, following renames. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount/open_file.h"
#include "fs/mount/open_files.h"

static void raise_to(_Atomic uint64_t *number, uint64_t value)
{
	uint64_t seen = *number;

	while (seen < value && !atomic_compare_exchange_weak(number, &seen, value))
		;
}

static int wait_for_queue(struct open_files *files, struct open_file *open)
{
	uint64_t target = open->submitted;

	if (open->settled >= target)
		return 0;
	int r = write_queue_wait(files->queue, open->file);

	raise_to(&open->settled, target);
	return r;
}

int open_file_settle(struct open_files *files, struct open_file *open)
{
	int r = wait_for_queue(files, open);
	int late = open->late_error ? atomic_exchange(&open->late_error, 0) : 0;

	return late < 0 ? late : r;
}

void open_file_settle_quietly(struct open_files *files, struct open_file *open)
{
	int r = wait_for_queue(files, open);

	if (r < 0)
		open->late_error = r;
}

int open_file_flush(struct open_files *files, struct open_file *open)
{
	uint64_t target = open->written;
	int settled = open_file_settle(files, open);

	if (open->flushed >= target)
		return settled;
	int r = file_flush(open->file);

	raise_to(&open->flushed, target);
	return settled < 0 ? settled : r;
}

void open_file_note_flushed(struct open_file *open, uint64_t written)
{
	raise_to(&open->flushed, written);
}

int write_queue_settle_closing(struct open_files *files, struct open_file *open)
{
	if (open_file_use(open) < 0)
		return 0;
	int r = open_file_settle(files, open);

	open_file_done(open);
	return r;
}

/* Every open file in turn, pinned so that the list may change meanwhile. */
static struct open_file *next_pinned(struct open_files *files, struct open_file *previous)
{
	pthread_mutex_lock(&files->lock);
	struct open_file *next = previous ? previous->next : files->first;

	if (next)
		next->pins++;
	pthread_mutex_unlock(&files->lock);
	(void)open_file_unpin(files, previous);
	return next;
}

static bool is_under(const struct open_file *open, const struct uuid *dek_id)
{
	const struct uuid *own = open->file ? file_dek_id(open->file) : NULL;

	return own && uuid_equal(own, dek_id);
}

void open_files_refuse(struct open_files *files, const struct uuid *dek_id, int error)
{
	pthread_mutex_lock(&files->lock);
	uint16_t number = open_files_number_locked(files, dek_id);

	if (number && number <= files->dek_count)
		files->deks[number - 1].refused = error;
	pthread_mutex_unlock(&files->lock);
}

int open_files_withdraw(struct open_files *files, const struct uuid *dek_id, int error)
{
	open_files_refuse(files, dek_id, error);
	return open_files_end(files, dek_id, error);
}

int open_files_end(struct open_files *files, const struct uuid *dek_id, int error)
{
	int first = 0;

	for (struct open_file *open = next_pinned(files, NULL); open;
	     open = next_pinned(files, open)) {
		/* Requests that run have the lock; those that come later find no file. */
		pthread_rwlock_wrlock(&open->lock);
		if (is_under(open, dek_id)) {
			int settled = open_file_settle(files, open);
			int closed = file_close(TAKE(open->file), NULL);

			if (first == 0)
				first = settled < 0 ? settled : closed;
			open->withdrawn_error = error;
			open->withdrawals++;
			open->is_writable = false;
			open->flushed = (uint64_t)open->written;
			node_clear(open->node, NODE_HAS_COVERED_SIZE);
			node_clear(open->node, NODE_IS_CACHE_VALID);
		}
		pthread_rwlock_unlock(&open->lock);
	}
	return first;
}

int open_files_flush(struct open_files *files)
{
	int first = 0;

	for (struct open_file *open = next_pinned(files, NULL); open;
	     open = next_pinned(files, open)) {
		if (open_file_use(open) < 0)
			continue;
		int r = open_file_flush(files, open);

		open_file_done(open);
		if (first == 0)
			first = r;
	}
	return first;
}

static bool is_at_or_below(const struct node *node, const struct node *above)
{
	while (node && node != above)
		node = node->names ? node->names->parent : NULL;
	return node != NULL;
}

int open_files_moved(struct open_files *files, const struct node *node, const char *root_path)
{
	int first = 0;

	for (struct open_file *open = next_pinned(files, NULL); open;
	     open = next_pinned(files, open)) {
		if (!is_at_or_below(open->node, node) || open_file_use(open) < 0)
			continue;
		char *below = nodes_path(files->nodes, open->node, NULL, NULL);
		char *path = NULL;

		if (below && asprintf(&path, "%s%s%s", root_path, *root_path ? "/" : "", below) < 0)
			path = NULL;
		int r = path ? file_moved(open->file, path) : -ENOMEM;

		open_file_done(open);
		free(below);
		free(path);
		if (first == 0)
			first = r;
	}
	return first;
}
