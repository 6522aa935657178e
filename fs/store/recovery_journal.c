/* SPDX-License-Identifier: Apache-2.0 */
/* One journal of a dead mount: its records, what is noted in it, its end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/journal_area.h"
#include "fs/store/recovery_internal.h"
#include "fs/store/whole_file.h"

#define QUARANTINE_PATH ".snapcrypt/quarantine"
#define ENTRIES_MAX     (1u << 22)

/* The valid slot with the higher epoch. */
static int read_checkpoint(const struct recovery_journal *journal,
			   struct journal_checkpoint *ret_checkpoint)
{
	struct journal_checkpoint best = { 0, 0 };

	for (unsigned i = 0; i < JOURNAL_CHECKPOINT_COUNT; i++) {
		uint8_t data[JOURNAL_CHECKPOINT_SIZE];
		struct journal_checkpoint checkpoint;
		ssize_t n = read_all(journal->fd, data, sizeof(data), journal_checkpoint_offset(i));

		if (n < 0)
			return (int)n;
		if (journal_checkpoint_decode((struct bytes){ data, (size_t)n }, &checkpoint,
					      NULL) == 0 &&
		    checkpoint.epoch > best.epoch)
			best = checkpoint;
	}
	if (best.epoch == 0)
		return -EBADMSG;
	*ret_checkpoint = best;
	return 0;
}

static struct recovery_entry *new_entry(struct recovery *recovery)
{
	if (recovery->entry_count == recovery->entry_capacity) {
		const size_t capacity = recovery->entry_capacity == 0
						? 64
						: recovery->entry_capacity * 2;
		struct recovery_entry *entries = reallocarray(recovery->entries, capacity,
							      sizeof(*entries));

		if (capacity > ENTRIES_MAX || entries == NULL) {
			if (entries != NULL)
				recovery->entries = entries;
			return NULL;
		}
		recovery->entries = entries;
		recovery->entry_capacity = capacity;
	}
	return &recovery->entries[recovery->entry_count++];
}

static int add_entry(struct recovery *recovery, size_t index, const struct journal_record *record,
		     size_t size)
{
	struct recovery_journal *journal = &recovery->journals[index];
	struct recovery_entry *entry = new_entry(recovery);
	const uint8_t *content_after = record->content_id;

	if (entry == NULL)
		return -ENOMEM;
	*entry = (struct recovery_entry){
		.journal = index,
		.state = RECOVERY_WAITING,
		.kind = record->kind,
		.is_exact = record->is_exact,
		.has_header = record->has_header,
		.is_open = record->is_open,
		.snapshot = record->snapshot,
		.dek = record->dek,
		.offset = record->offset,
		.result = record->result,
		.position = journal->end,
		.sequence = journal->sequence,
		.record_size = size,
		.data_start = JOURNAL_RECORD_HEAD_SIZE + record->path.size,
		.data_size = record->data.size,
	};
	if (record->has_header)
		content_after = record->data.data + HEADER_CONTENT_ID_OFFSET;
	memcpy(entry->object_id, record->object_id, sizeof(entry->object_id));
	memcpy(entry->content_id, record->content_id, sizeof(entry->content_id));
	memcpy(entry->content_after, content_after, sizeof(entry->content_after));
	journal->waiting++;
	journal->end += size;
	journal->sequence++;
	return 0;
}

/* The next record.  1; 0: there is none. */
static int read_next(struct recovery *recovery, size_t index)
{
	struct recovery_journal *journal = &recovery->journals[index];
	const struct journal_checkpoint expected = { journal->epoch, journal->sequence };
	struct journal_record record;
	const char *fault = "";
	uint8_t head[JOURNAL_RECORD_HEAD_SIZE];
	size_t size;
	ssize_t n = read_all(journal->fd, head, sizeof(head), journal->end);
	int r;

	if (n < 0)
		return (int)n;
	r = journal_record_peek((struct bytes){ head, (size_t)n }, &size);
	if (r < 0 || size > journal->half_end - journal->end)
		return 0;

	uint8_t *buffer = recovery_reserve(recovery, size);

	if (buffer == NULL)
		return -ENOMEM;
	n = read_all(journal->fd, buffer, size, journal->end);
	if (n < 0)
		return (int)n;
	r = journal_record_decode((struct bytes){ buffer, (size_t)n }, &expected, &record, &size,
				  &fault);
	if (r == -ENODATA)
		return 0;
	if (r < 0) {
		journal->is_suspect = true;
		store_report(recovery->store, LOG_ERR, journal->name,
			     "journal record %llu cannot be used (%s)",
			     (unsigned long long)journal->sequence, fault);
		return 0;
	}
	r = add_entry(recovery, index, &record, size);
	return r < 0 ? r : 1;
}

int recovery_read_journal(struct recovery *recovery, size_t index)
{
	struct recovery_journal *journal = &recovery->journals[index];
	struct journal_checkpoint checkpoint;
	int r = read_checkpoint(journal, &checkpoint);

	if (r == -EBADMSG) {
		store_report(recovery->store, LOG_ERR, journal->name,
			     "journal without a checkpoint, left as it is");
		journal->is_gone = true;
		return 0;
	}
	if (r < 0)
		return r;

	const struct journal_half half = journal_half(&journal->superblock, checkpoint.epoch);

	journal->epoch = checkpoint.epoch;
	journal->sequence = checkpoint.first_sequence;
	journal->end = half.offset;
	journal->half_end = half.offset + half.size;
	while (journal->half_end - journal->end >= JOURNAL_RECORD_HEAD_SIZE) {
		r = read_next(recovery, index);
		if (r <= 0)
			break;
	}
	return r < 0 ? r : 0;
}

static int encode_applied(const struct recovery_entry *entry,
			  const struct journal_checkpoint *position, const struct dek *dek,
			  uint8_t *buffer)
{
	struct journal_record record = {
		.kind = JOURNAL_RECORD_APPLIED,
		.epoch = position->epoch,
		.sequence = position->first_sequence,
		.snapshot = entry->snapshot,
		.dek = entry->dek,
		.path = { (const uint8_t *)"", 0 },
		.data = { (const uint8_t *)"", 0 },
	};

	memcpy(record.object_id, entry->object_id, sizeof(record.object_id));
	memcpy(record.content_id, entry->content_id, sizeof(record.content_id));

	const size_t size = journal_record_encode(&record, buffer);
	struct bytes parts[JOURNAL_RECORD_MAC_PARTS];
	int r;

	journal_record_mac_parts(buffer, size, parts);
	r = dek_mac(dek, DEK_LABEL_JOURNAL, parts, ARRAY_SIZE(parts),
		    journal_record_mac_slot(buffer, size));
	if (r == 0)
		journal_record_finish(buffer, size);
	return r;
}

int recovery_write_applied(struct recovery *recovery, size_t index, const struct dek *dek,
			   const struct recovery_entry *const *objects, size_t count)
{
	struct recovery_journal *journal = &recovery->journals[index];
	struct journal_checkpoint position = { journal->epoch, journal->sequence };
	const size_t record_size = journal_record_size(0, 0);
	const uint64_t room = journal->half_end - journal->end;
	size_t size = count * record_size;
	int r;

	if (size > room)
		return -ENOSPC;

	/* A record that a crash left behind the torn end must not become the next in line. */
	const size_t break_size = room - size < JOURNAL_RECORD_HEAD_SIZE ? (size_t)(room - size)
									 : JOURNAL_RECORD_HEAD_SIZE;
	uint8_t *buffer = recovery_reserve(recovery, size + break_size);

	if (buffer == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		r = encode_applied(objects[i], &position, dek, buffer + i * record_size);
		if (r < 0)
			return r;
		position.first_sequence++;
	}
	memset(buffer + size, 0, break_size);
	r = write_all(journal->fd, buffer, size + break_size, journal->end, NULL);
	if (r < 0)
		return r;
	if (fdatasync(journal->fd) < 0)
		return -errno;
	journal->end += size;
	journal->sequence += count;
	return 0;
}

/* A journal that no writer wrote is evidence. */
static int put_aside(struct store *store, int directory_fd, const char *name)
{
	char target[sizeof(QUARANTINE_PATH) + 300];
	int r;

	if (mkdirat(store_root_fd(store), QUARANTINE_PATH, 0700) < 0 && errno != EEXIST)
		return -errno;
	snprintf(target, sizeof(target), "%s/journal-%s", QUARANTINE_PATH, name);
	if (renameat(directory_fd, name, store_root_fd(store), target) < 0)
		return -errno;
	r = directory_sync(store_root_fd(store), QUARANTINE_PATH);
	return r < 0 ? r : directory_sync(store_root_fd(store), ".snapcrypt");
}

int recovery_remove_journal(struct recovery *recovery, size_t index)
{
	struct recovery_journal *journal = &recovery->journals[index];
	int fd = journal_directory_open(recovery->store);
	int r = 0;

	if (fd < 0)
		return fd;
	if (journal->is_suspect)
		r = put_aside(recovery->store, fd, journal->name);
	else if (unlinkat(fd, journal->name, 0) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (r == 0)
		journal->is_gone = true;
	return r;
}
