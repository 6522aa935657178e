/* SPDX-License-Identifier: Apache-2.0 */
/* Read-only stores: files as their records leave them, without touching them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/store/journal_area.h"
#include "fs/store/recovery_internal.h"
#include "fs/store/whole_file.h"
#include "meta/format/layout.h"

static _Thread_local const struct recovery *sorted_recovery;

static int compare_verified(const void *a, const void *b)
{
	const size_t first = *(const size_t *)a, second = *(const size_t *)b;
	const struct recovery_entry *entries = sorted_recovery->entries;
	int order = recovery_compare_objects(entries[first].object_id, entries[second].object_id);

	if (order != 0)
		return order;
	return first < second ? -1 : first > second;
}

void recovery_sort_verified(struct recovery *recovery)
{
	sorted_recovery = recovery;
	qsort(recovery->verified, recovery->verified_count, sizeof(*recovery->verified),
	      compare_verified);
	sorted_recovery = NULL;
}

/* The first verified entry of an object; recovery->verified_count if there is none. */
static size_t find_first(const struct recovery *recovery, const uint8_t *object_id)
{
	size_t low = 0, high = recovery->verified_count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct recovery_entry *entry = &recovery->entries[recovery->verified[middle]];

		if (recovery_compare_objects(entry->object_id, object_id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < recovery->verified_count &&
	    recovery_compare_objects(recovery->entries[recovery->verified[low]].object_id,
				     object_id) != 0)
		return recovery->verified_count;
	return low;
}

/*
 * A writable mount that came later has applied the records, and goes on from there: then its files are right as they are, and
 * its journal is gone or has got another record.
 */
static bool is_current(const struct recovery_journal *journal)
{
	const struct journal_checkpoint expected = { journal->epoch, journal->sequence };
	uint8_t data[JOURNAL_RECORD_HEAD_SIZE + JOURNAL_RECORD_MAC_SIZE];
	struct journal_record record;
	struct stat stat;
	size_t size;

	if (fstat(journal->fd, &stat) < 0 || stat.st_nlink == 0)
		return false;

	ssize_t n = read_all(journal->fd, data, sizeof(data), journal->end);

	return n < 0 || journal_record_decode((struct bytes){ data, (size_t)n }, &expected, &record,
					      &size, NULL) < 0;
}

/* Walks through the records of a file that count for what it is now. */
struct chain {
	const struct recovery *recovery;
	const uint8_t *object_id;
	uint8_t content_id[HEADER_CONTENT_ID_SIZE];
	size_t next;
};

static const struct recovery_entry *chain_next(struct chain *chain)
{
	const struct recovery *recovery = chain->recovery;

	while (chain->next < recovery->verified_count) {
		const struct recovery_entry *entry =
			&recovery->entries[recovery->verified[chain->next]];

		if (recovery_compare_objects(entry->object_id, chain->object_id) != 0)
			return NULL;
		chain->next++;
		if (memcmp(entry->content_id, chain->content_id, sizeof(chain->content_id)) != 0 &&
		    memcmp(entry->content_after, chain->content_id, sizeof(chain->content_id)) != 0)
			continue;
		if (!recovery->journals[entry->journal].is_current)
			continue;
		memcpy(chain->content_id, entry->content_after, sizeof(chain->content_id));
		return entry;
	}
	return NULL;
}

static struct chain chain_begin(struct recovery *recovery, const uint8_t *object_id,
				const uint8_t *content_id)
{
	struct chain chain = {
		.recovery = recovery,
		.object_id = object_id,
		.next = find_first(recovery, object_id),
	};

	memcpy(chain.content_id, content_id, sizeof(chain.content_id));
	if (chain.next == recovery->verified_count)
		return chain;
	for (size_t i = 0; i < recovery->journal_count; i++)
		recovery->journals[i].is_current = is_current(&recovery->journals[i]);
	return chain;
}

/*
 * What ENTRY does; LAST: the last record of the file.  Where that is an `open` one, the file has been written directly from
 * its boundary on.  SIZE: of the file after the records before this one.
 */
static struct journal_effect effect_of(const struct recovery_entry *entry,
				       const struct recovery_entry *last, uint64_t size,
				       const struct recovery_backing *backing)
{
	const uint64_t limit = last->is_open && entry != last ? last->result - LAYOUT_BLOCK_OVERHEAD
							      : UINT64_MAX;
	struct journal_effect effect = {
		.offset = entry->offset,
		.size = entry->data_size,
		.result = entry->result,
		.is_exact = entry->is_exact,
	};

	if (effect.offset >= limit)
		effect.size = 0;
	else if (effect.size > limit - effect.offset)
		effect.size = (size_t)(limit - effect.offset);
	if (!entry->is_open)
		return effect;
	effect.is_exact = entry == last && !(size > entry->result && backing->is_end_authentic);
	if (!effect.is_exact) {
		const size_t data_size = entry->data_size - LAYOUT_BLOCK_OVERHEAD;

		effect.size = effect.size < data_size ? effect.size : data_size;
		effect.result = 0;
	}
	return effect;
}

static const struct recovery_entry *chain_last(struct chain chain)
{
	const struct recovery_entry *last = NULL;
	const struct recovery_entry *entry;

	while ((entry = chain_next(&chain)) != NULL)
		last = entry;
	return last;
}

static void overlay_entry(const struct recovery *recovery, const struct recovery_entry *entry,
			  const struct journal_overlap *overlap, uint8_t *data)
{
	if (overlap->size == 0)
		return;

	/* Bytes that cannot be read leave what is in place, and the block's tag decides. */
	ssize_t n = read_all(recovery->journals[entry->journal].fd, data + overlap->to,
			     overlap->size, entry->position + entry->data_start + overlap->from);

	(void)n;
}

bool recovery_overlay(struct recovery *recovery, const uint8_t object_id[static 16],
		      const uint8_t content_id[static 24], const struct recovery_backing *backing,
		      uint64_t offset, uint8_t *data, size_t size)
{
	const struct recovery_entry *entry, *last;
	uint64_t file_size = backing->size;
	bool applies = false;

	if (recovery == NULL)
		return false;
	pthread_mutex_lock(&recovery->mutex);

	struct chain chain = chain_begin(recovery, object_id, content_id);

	last = chain_last(chain);
	while ((entry = chain_next(&chain)) != NULL) {
		const struct journal_effect effect = effect_of(entry, last, file_size, backing);
		const struct journal_overlap overlap = journal_overlap(&effect, offset, size);

		overlay_entry(recovery, entry, &overlap, data);
		if (overlap.kept < size)
			memset(data + overlap.kept, 0, size - overlap.kept);
		file_size = journal_size_after(&effect, file_size);
		applies = true;
	}
	pthread_mutex_unlock(&recovery->mutex);
	return applies;
}

uint64_t recovery_size(struct recovery *recovery, const uint8_t object_id[static 16],
		       const uint8_t content_id[static 24], const struct recovery_backing *backing)
{
	const struct recovery_entry *entry, *last;
	uint64_t size = backing->size;

	if (recovery == NULL)
		return size;
	pthread_mutex_lock(&recovery->mutex);

	struct chain chain = chain_begin(recovery, object_id, content_id);

	last = chain_last(chain);
	while ((entry = chain_next(&chain)) != NULL) {
		const struct journal_effect effect = effect_of(entry, last, size, backing);

		size = journal_size_after(&effect, size);
	}
	pthread_mutex_unlock(&recovery->mutex);
	return size;
}
