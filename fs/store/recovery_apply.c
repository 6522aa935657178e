/* SPDX-License-Identifier: Apache-2.0 */
/* Applying what waited for a DEK: verify, put in place, sync, note. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/file.h"
#include "fs/store/journal_area.h"
#include "fs/store/recovery_internal.h"
#include "fs/store/whole_file.h"
#include "meta/format/layout.h"

#define TARGETS_MAX 256 /* files open at a time */

/* The records of one DEK, sorted by object, then in the order in which they were written. */
struct batch {
	struct recovery *recovery;
	const struct dek *dek;
	struct recovery_entry **entries;
	size_t count;
};

/* Some objects of a batch: its entries from FIRST to END. */
struct portion {
	size_t first;
	size_t end;
	struct recovery_target targets[TARGETS_MAX];
	size_t target_count;
};

static int compare_entries(const void *a, const void *b)
{
	const struct recovery_entry *first = *(struct recovery_entry *const *)a;
	const struct recovery_entry *second = *(struct recovery_entry *const *)b;
	int order = recovery_compare_objects(first->object_id, second->object_id);

	if (order != 0)
		return order;
	return first < second ? -1 : first > second;
}

static int collect(struct batch *batch)
{
	struct recovery *recovery = batch->recovery;

	for (size_t i = 0; i < recovery->entry_count; i++)
		batch->count += recovery->entries[i].state == RECOVERY_WAITING &&
				uuid_equal(&recovery->entries[i].dek, dek_id(batch->dek));
	batch->entries = calloc(batch->count + 1, sizeof(struct recovery_entry *));
	if (batch->entries == NULL)
		return -ENOMEM;
	batch->count = 0;
	for (size_t i = 0; i < recovery->entry_count; i++) {
		if (recovery->entries[i].state == RECOVERY_WAITING &&
		    uuid_equal(&recovery->entries[i].dek, dek_id(batch->dek)))
			batch->entries[batch->count++] = &recovery->entries[i];
	}
	qsort(batch->entries, batch->count, sizeof(struct recovery_entry *), compare_entries);
	return 0;
}

static void mark_done(struct recovery *recovery, struct recovery_entry *entry)
{
	if (entry->state != RECOVERY_DONE)
		recovery->journals[entry->journal].waiting--;
	entry->state = RECOVERY_DONE;
}

/* Check every MAC.  What fails is reported, and counts as not written. */
static int verify(struct batch *batch)
{
	struct recovery *recovery = batch->recovery;

	for (size_t i = 0; i < batch->count; i++) {
		struct recovery_entry *entry = batch->entries[i];
		struct recovery_journal *journal = &recovery->journals[entry->journal];
		struct journal_record record;
		int r = recovery_read(recovery, entry, batch->dek, &record);

		if (r == 0) {
			entry->state = RECOVERY_VERIFIED;
			continue;
		}
		if (r != -EBADMSG)
			return r;
		journal->is_suspect = true;
		store_report(recovery->store, LOG_CRIT, journal->name,
			     "journal record %llu is not authentic, not applied",
			     (unsigned long long)entry->sequence);
	}
	return 0;
}

/* End of the run of entries of one object that begins at FIRST. */
static size_t object_end(const struct batch *batch, size_t first)
{
	size_t end = first + 1;

	while (end < batch->count &&
	       recovery_compare_objects(batch->entries[end]->object_id,
					batch->entries[first]->object_id) == 0)
		end++;
	return end;
}

/* The first entry of a run that is not covered by an `applied` one. */
static size_t skip_applied(const struct batch *batch, size_t first, size_t end)
{
	size_t start = first;

	for (size_t i = first; i < end; i++) {
		if (batch->entries[i]->state == RECOVERY_VERIFIED &&
		    batch->entries[i]->kind == JOURNAL_RECORD_APPLIED)
			start = i + 1;
	}
	return start;
}

static bool has_writes(const struct batch *batch, size_t start, size_t end)
{
	for (size_t i = start; i < end; i++) {
		if (batch->entries[i]->state == RECOVERY_VERIFIED)
			return true;
	}
	return false;
}

/* Hints, the newest first. */
static int try_hints(struct batch *batch, size_t start, size_t end, struct recovery_target *target)
{
	char tried[4097] = "";

	for (size_t i = end; i > start; i--) {
		const struct recovery_entry *entry = batch->entries[i - 1];
		struct journal_record record;
		char path[sizeof(tried)];
		int r;

		if (entry->state != RECOVERY_VERIFIED)
			continue;
		r = recovery_read(batch->recovery, entry, batch->dek, &record);
		if (r < 0)
			return r;
		if (record.path.size == 0 || record.path.size >= sizeof(path))
			continue;
		memcpy(path, record.path.data, record.path.size);
		path[record.path.size] = '\0';
		if (strcmp(path, tried) == 0)
			continue;
		memcpy(tried, path, record.path.size + 1);
		r = recovery_try_path(batch->recovery, path, batch->dek, target);
		if (r != -ENOENT)
			return r;
	}
	return 0;
}

/* Open the files of as many objects as may be open at a time, from portion->first on. */
static int find_targets(struct batch *batch, struct portion *portion)
{
	size_t end;
	int r;

	portion->target_count = 0;
	for (portion->end = portion->first;
	     portion->end < batch->count && portion->target_count < TARGETS_MAX;
	     portion->end = end) {
		end = object_end(batch, portion->end);

		const size_t start = skip_applied(batch, portion->end, end);
		struct recovery_target *target = &portion->targets[portion->target_count];

		if (!has_writes(batch, start, end))
			continue;
		*target = (struct recovery_target){
			.object_id = batch->entries[start]->object_id,
			.fd = -1,
		};
		portion->target_count++;
		r = try_hints(batch, start, end, target);
		if (r < 0)
			return r;
	}
	return recovery_search(batch->recovery, batch->dek, portion->targets,
			       portion->target_count);
}

/* Write, unless the same bytes are there already: then the file's times stay as they are. */
static int write_changed(int fd, struct bytes data, uint64_t offset)
{
	uint8_t old[16384];
	size_t done = 0;

	while (done < data.size) {
		const size_t left = data.size - done;
		const size_t size = left < sizeof(old) ? left : sizeof(old);
		ssize_t n = read_all(fd, old, size, offset + done);
		int r = 0;

		/* What cannot be read may still be written. */
		if (n != (ssize_t)size || memcmp(old, data.data + done, size) != 0)
			r = write_all(fd, data.data + done, size, offset + done, NULL);
		if (r < 0)
			return r;
		done += size;
	}
	return 0;
}

static int set_size(int fd, uint64_t size, bool is_exact)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if ((uint64_t)stat.st_size == size || (!is_exact && (uint64_t)stat.st_size > size))
		return 0;
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

/* The end that an `open` record protects: put back, unless appends have given the file a good one further on. */
static int apply_open_end(struct recovery *recovery, const struct dek *dek, int fd,
			  const struct journal_record *record)
{
	const struct bytes end = {
		record->data.data + record->data.size - LAYOUT_BLOCK_OVERHEAD,
		LAYOUT_BLOCK_OVERHEAD,
	};
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if ((uint64_t)stat.st_size > record->result) {
		int r = file_check_end(recovery->store, dek, fd);

		if (r != -EBADMSG)
			return r;
	}

	int r = write_changed(fd, end, record->offset + record->data.size - LAYOUT_BLOCK_OVERHEAD);

	return r < 0 ? r : set_size(fd, record->result, true);
}

/* LIMIT: from there on the file has been written directly. */
static int apply_record(int fd, const struct journal_record *record, uint64_t limit)
{
	struct bytes data = record->data;
	int r;

	if (record->is_open)
		data.size -= LAYOUT_BLOCK_OVERHEAD;
	if (record->offset >= limit)
		data.size = 0;
	else if (data.size > limit - record->offset)
		data.size = (size_t)(limit - record->offset);
	r = write_changed(fd, data, record->offset);
	if (r < 0 || record->is_open)
		return r;
	return set_size(fd, record->result, record->is_exact);
}

/* Whether a file with content id CURRENT is the one that ENTRY was written for. */
static bool concerns(const struct recovery_entry *entry,
		     const uint8_t current[static HEADER_CONTENT_ID_SIZE])
{
	return entry->state == RECOVERY_VERIFIED && entry->kind == JOURNAL_RECORD_WRITE &&
	       (memcmp(entry->content_id, current, HEADER_CONTENT_ID_SIZE) == 0 ||
		memcmp(entry->content_after, current, HEADER_CONTENT_ID_SIZE) == 0);
}

/* The last of an object's entries that concern its file as it is. */
static const struct recovery_entry *last_entry(const struct batch *batch, size_t start, size_t end,
					       const struct recovery_target *target)
{
	const struct recovery_entry *last = NULL;
	const uint8_t *content_id = target->content_id;

	for (size_t i = start; i < end; i++) {
		if (!concerns(batch->entries[i], content_id))
			continue;
		last = batch->entries[i];
		content_id = last->content_after;
	}
	return last;
}

static int apply_object(struct batch *batch, size_t start, size_t end,
			struct recovery_target *target)
{
	const struct recovery_entry *last = last_entry(batch, start, end, target);
	const uint64_t limit = last != NULL && last->is_open ? last->result - LAYOUT_BLOCK_OVERHEAD
							     : UINT64_MAX;
	struct journal_record record;
	int r;

	for (size_t i = start; i < end; i++) {
		const struct recovery_entry *entry = batch->entries[i];

		if (!concerns(entry, target->content_id))
			continue;
		r = recovery_read(batch->recovery, entry, batch->dek, &record);
		if (r == 0)
			r = apply_record(target->fd, &record, limit);
		if (r < 0)
			return r;
		memcpy(target->content_id, entry->content_after, sizeof(target->content_id));
	}
	if (last != NULL && last->is_open) {
		r = recovery_read(batch->recovery, last, batch->dek, &record);
		if (r == 0)
			r = apply_open_end(batch->recovery, batch->dek, target->fd, &record);
		if (r < 0)
			return r;
	}
	return fdatasync(target->fd) < 0 ? -errno : 0;
}

static int apply_objects(struct batch *batch, struct portion *portion)
{
	size_t next_target = 0;

	for (size_t first = portion->first; first < portion->end;
	     first = object_end(batch, first)) {
		const size_t end = object_end(batch, first);
		const size_t start = skip_applied(batch, first, end);

		if (!has_writes(batch, start, end))
			continue;

		struct recovery_target *target = &portion->targets[next_target++];

		if (target->fd < 0)
			continue;

		int r = apply_object(batch, start, end, target);

		if (r < 0)
			return r;
	}
	return 0;
}

static int apply_portions(struct batch *batch)
{
	struct portion *portion = calloc(1, sizeof(*portion));
	int r = 0;

	if (portion == NULL)
		return -ENOMEM;
	while (r == 0 && portion->first < batch->count) {
		r = find_targets(batch, portion);
		if (r == 0)
			r = apply_objects(batch, portion);
		for (size_t i = 0; i < portion->target_count; i++) {
			if (portion->targets[i].fd >= 0)
				close(portion->targets[i].fd);
		}
		portion->first = portion->end;
	}
	free(portion);
	return r;
}

/* One entry for each object that has any in journal INDEX. */
static size_t objects_in(const struct batch *batch, size_t index,
			 const struct recovery_entry **objects)
{
	size_t count = 0;

	for (size_t first = 0; first < batch->count; first = object_end(batch, first)) {
		const size_t end = object_end(batch, first);

		for (size_t i = first; i < end; i++) {
			if (batch->entries[i]->journal != index)
				continue;
			objects[count++] = batch->entries[i];
			break;
		}
	}
	return count;
}

/* In the order of the journals: an older one must never be left to be applied over what a newer one has given. */
static int note_progress(struct batch *batch)
{
	struct recovery *recovery = batch->recovery;
	const struct recovery_entry **objects = calloc(batch->count, sizeof(*objects));
	int r = 0;

	if (objects == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < recovery->journal_count && r == 0; i++) {
		struct recovery_journal *journal = &recovery->journals[i];
		const size_t count = objects_in(batch, i, objects);
		size_t waiting = journal->waiting;

		if (count == 0)
			continue;
		for (size_t k = 0; k < batch->count; k++)
			waiting -= batch->entries[k]->journal == i;
		r = waiting == 0 ? recovery_remove_journal(recovery, i)
				 : recovery_write_applied(recovery, i, batch->dek, objects, count);
	}
	free(objects);
	return r;
}

static int apply_batch(struct batch *batch)
{
	int r = 0;

	/* A seal came after the records: whatever they hold is in place. */
	if (!store_dek_is_sealed(batch->recovery->store, dek_id(batch->dek)))
		r = apply_portions(batch);
	if (r == 0)
		r = note_progress(batch);
	if (r < 0)
		return r;
	for (size_t i = 0; i < batch->count; i++)
		mark_done(batch->recovery, batch->entries[i]);
	return 0;
}

/* Read-only: what remains verified is overlaid. */
static int prepare_overlay(struct batch *batch)
{
	struct recovery *recovery = batch->recovery;
	const size_t old_count = recovery->verified_count;
	size_t *verified = reallocarray(recovery->verified, old_count + batch->count + 1,
					sizeof(*verified));

	if (verified == NULL)
		return -ENOMEM;
	recovery->verified = verified;
	for (size_t first = 0; first < batch->count; first = object_end(batch, first)) {
		const size_t end = object_end(batch, first);
		const size_t start = skip_applied(batch, first, end);

		for (size_t i = first; i < end; i++) {
			if (i >= start && batch->entries[i]->state == RECOVERY_VERIFIED)
				verified[recovery->verified_count++] =
					(size_t)(batch->entries[i] - recovery->entries);
			else
				mark_done(recovery, batch->entries[i]);
		}
	}
	recovery_sort_verified(recovery);
	return 0;
}

/* After a failure everything waits again, for the next try. */
static void take_back(struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		if (batch->entries[i]->state == RECOVERY_VERIFIED)
			batch->entries[i]->state = RECOVERY_WAITING;
	}
}

static int apply_locked(struct recovery *recovery, struct dek *dek)
{
	struct batch batch = { .recovery = recovery, .dek = dek };
	int r = collect(&batch);

	if (r == 0 && batch.count > 0) {
		r = verify(&batch);
		if (r == 0)
			r = store_is_writable(recovery->store) ? apply_batch(&batch)
							       : prepare_overlay(&batch);
		if (r < 0)
			take_back(&batch);
	}
	free(batch.entries);
	return r;
}

int recovery_apply(struct recovery *recovery, struct dek *dek)
{
	int r;

	if (recovery == NULL)
		return 0;
	pthread_mutex_lock(&recovery->mutex);
	r = apply_locked(recovery, dek);
	pthread_mutex_unlock(&recovery->mutex);
	if (r < 0)
		store_report(recovery->store, LOG_ERR, "",
			     "changes in a journal cannot be applied: %s", strerror(-r));
	return r;
}
