/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of recovery; for fs/store/recovery*.c only.
 *
 * Journals are kept open, records as positions: their data are read when they are needed.  One mutex guards everything; it is
 * held while files are repaired, and nothing that takes other locks is called meanwhile.
 *
 * Replay is a redo in a fixed order, so doing it again after a crash is harmless as long as nobody has changed the files in
 * between.  Hence the order in recovery_apply(): files repaired and synced; then, journal by journal in the order of their
 * numbers, an `applied` record (or the journal removed), each durable before the next; then the DEK is served.
 */
#ifndef SNAPCRYPT_FS_STORE_RECOVERY_INTERNAL_H
#define SNAPCRYPT_FS_STORE_RECOVERY_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/store/journal.h"
#include "fs/store/journal_effect.h"
#include "kms/crypto/dek.h"
#include "meta/format/journal_record.h"

struct recovery_journal {
	int fd;
	char *name; /* in .snapcrypt/journal */
	struct journal_superblock superblock;
	uint64_t epoch;
	uint64_t end;      /* behind the last record */
	uint64_t half_end; /* of the half that holds this epoch */
	uint64_t sequence; /* that a next record would have */
	size_t waiting;    /* entries not done */
	bool is_suspect;   /* holds what no writer writes: kept as evidence */
	bool is_gone;
	bool is_current; /* read-only: nobody has applied it meanwhile */
};

enum recovery_state { RECOVERY_WAITING, RECOVERY_VERIFIED, RECOVERY_DONE };

/* One record. */
struct recovery_entry {
	size_t journal; /* index */
	enum recovery_state state;
	enum journal_record_kind kind;
	bool is_exact;
	bool has_header;
	bool is_open;
	struct uuid snapshot;
	struct uuid dek;
	uint8_t object_id[HEADER_OBJECT_ID_SIZE];
	uint8_t content_id[HEADER_CONTENT_ID_SIZE];
	uint8_t content_after[HEADER_CONTENT_ID_SIZE];
	uint64_t offset;
	uint64_t result;
	uint64_t position; /* in the journal file */
	uint64_t sequence;
	size_t record_size;
	size_t data_start; /* within the record */
	size_t data_size;
};

struct recovery {
	struct store *store;
	pthread_mutex_t mutex;
	struct recovery_journal *journals; /* in the order of their numbers */
	size_t journal_count;
	struct recovery_entry *entries; /* in the order in which they were written */
	size_t entry_count;
	size_t entry_capacity;
	size_t *verified; /* read-only: indices of verified entries, by object, then in order */
	size_t verified_count;
	uint8_t *buffer;
	size_t buffer_size;
};

/* ---- recovery.c ---- */

/* The record of ENTRY, into recovery->buffer; its MAC verified under DEK.  -EBADMSG: not what was written. */
MUST_CHECK int recovery_read(struct recovery *recovery, const struct recovery_entry *entry,
			     const struct dek *dek, struct journal_record *ret_record);
/* recovery->buffer with room for SIZE bytes. */
uint8_t *recovery_reserve(struct recovery *recovery, size_t size);
int recovery_compare_objects(const uint8_t *a, const uint8_t *b);

/* ---- recovery_overlay.c ---- */

/* Put recovery->verified in order. */
void recovery_sort_verified(struct recovery *recovery);

/* ---- recovery_journal.c ---- */

/* Read the records of one journal into recovery->entries.  -EBADMSG: not a journal of this volume. */
MUST_CHECK int recovery_read_journal(struct recovery *recovery, size_t index);
/* Note that entries of these objects are done: durable. */
MUST_CHECK int recovery_write_applied(struct recovery *recovery, size_t index,
				      const struct dek *dek,
				      const struct recovery_entry *const *objects, size_t count);
/* Remove a journal with nothing left in it, or put it aside; durable. */
MUST_CHECK int recovery_remove_journal(struct recovery *recovery, size_t index);

/* ---- recovery_find.c ---- */

/* A file that records are for.  FD -1: not found. */
struct recovery_target {
	const uint8_t *object_id;
	int fd;
	uint8_t content_id[HEADER_CONTENT_ID_SIZE]; /* in place */
};

/* Is the file at PATH the target, under DEK?  Opens it for writing if so.  -ENOENT: it is not. */
MUST_CHECK int recovery_try_path(struct recovery *recovery, const char *path, const struct dek *dek,
				 struct recovery_target *target);
/* Search the whole volume for the targets, sorted by object id, that are not found yet. */
MUST_CHECK int recovery_search(struct recovery *recovery, const struct dek *dek,
			       struct recovery_target *targets, size_t count);

#endif
