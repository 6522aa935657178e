/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the journal; for fs/store/journal*.c only.
 *
 * The life of a change: queued (in memory) -> durable (in the journal file) -> placed (in the data file) -> forgotten (data
 * file synced, and a checkpoint or an `applied` record durable).  While it is not placed it is in its file's `pending` list,
 * from which readers are served.
 *
 * Locks.  The caller's file lock; then the *role*; then journal->mutex.  The role is held by the one thread that writes to
 * the journal file and to data files (journal_take_role()); whoever waits for it has let go of the mutex.  Queueing needs the
 * mutex only, so files go on collecting changes while a batch is on its way.  Nothing is called out of here while the mutex
 * is held, and no file lock is taken below the role.
 *
 * A change that cannot be put in place (no space, I/O error) stays pending and makes its file stuck: later ones of that file
 * wait behind it, every commit tries again, and a checkpoint carries them into the next epoch.
 */
#ifndef SNAPCRYPT_FS_STORE_JOURNAL_INTERNAL_H
#define SNAPCRYPT_FS_STORE_JOURNAL_INTERNAL_H

#include <pthread.h>
#include <sys/types.h>

#include "fs/store/journal.h"
#include "fs/store/journal_area.h"
#include "fs/store/journal_effect.h"
#include "kms/crypto/dek.h"
#include "meta/format/header.h"
#include "meta/format/journal_record.h"
#include "meta/format/layout.h"

#define JOURNAL_BATCH_MAX (UINT32_C(8) << 20)

/* One record; DATA follows the struct. */
struct pending {
	struct pending *next;         /* in the queue or run */
	struct pending *next_of_file; /* in file->pending */
	struct journal_file *file;
	enum journal_record_kind kind;
	bool is_exact;
	bool has_header;
	bool is_open;
	bool is_durable;
	bool is_placed;
	int mac_error; /* its DEK is gone */
	uint64_t ticket;
	uint64_t offset;
	uint64_t result;
	uint8_t content_id[HEADER_CONTENT_ID_SIZE]; /* before */
	size_t size;                                /* of data */
	uint8_t data[];
};

struct pending_list {
	struct pending *first;
	struct pending *last;
};

struct journal_file {
	struct journal *journal;
	struct journal_file *next;
	struct uuid snapshot;
	struct dek *dek;
	uint8_t object_id[HEADER_OBJECT_ID_SIZE];
	uint8_t content_id[HEADER_CONTENT_ID_SIZE]; /* once everything queued is applied */
	char *path;
	int fd;
	bool is_closed; /* the caller has let go of it */
	bool is_live;   /* records of it must be found by recovery */
	bool is_stuck;  /* its first pending record cannot be placed */
	bool has_open;  /* the last live record is an `open` one */
	int error;      /* negative while it stands in the way of changes */
	int sync_error; /* fdatasync() has failed once: its records are kept for ever */
	uint64_t applied_count;
	uint64_t last_ticket;
	struct pending *pending_first;
	struct pending *pending_last;

	/* The `open` record's last block, for the next epoch. */
	uint8_t open_end[LAYOUT_BLOCK_OVERHEAD];
	uint64_t open_result;
	uint8_t open_content_id[HEADER_CONTENT_ID_SIZE];
};

struct journal {
	struct store *store;
	pthread_mutex_t mutex;
	pthread_cond_t role_is_free;
	bool is_role_taken;

	struct journal_area area; /* fd -1: not created yet.  Guarded by the role */
	uint64_t capacity;        /* of the area; 0: not created yet */
	size_t live_files;        /* files with records in this epoch */
	size_t closed_files;      /* files that their callers have let go of, still needed */

	struct pending_list queue;
	size_t queued_size;
	size_t stuck_size;
	uint64_t last_ticket;
	struct journal_file *files;

	uint8_t *buffer; /* encoded batch; guarded by the role */
	size_t buffer_size;
};

/* With the mutex held. */
void journal_take_role(struct journal *journal);
void journal_drop_role(struct journal *journal);

/* Size of the record that PENDING becomes. */
size_t pending_record_size(const struct pending *pending);

/* With role and mutex held, both let go of and taken again inside, the role kept: */

/* Make what is queued now durable and put it in place.  Errors of placing are the file's, not returned. */
MUST_CHECK int journal_commit_queue(struct journal *journal);
/* The same with as much as one write may hold.  -EAGAIN: not even the first record fits into this epoch. */
MUST_CHECK int journal_commit_run(struct journal *journal);
/* Sync all data files and begin a new epoch. */
MUST_CHECK int journal_advance(struct journal *journal);
/* End FILE's live records.  Its queue is empty. */
MUST_CHECK int journal_end_records(struct journal_file *file);
/* fdatasync() of the data file.  Its first error is remembered: the kernel would not tell it again. */
MUST_CHECK int journal_sync_file(struct journal_file *file);
/* Does recovery have to find records of FILE?  Mutex held, as for the next. */
void journal_set_live(struct journal_file *file, bool is_live);
/* Free FILE if nobody needs it any more. */
void journal_file_release(struct journal_file *file);

/* Encode and MAC one record for that epoch and sequence.  The errors of dek_mac(). */
MUST_CHECK int pending_encode(const struct pending *pending,
			      const struct journal_checkpoint *position, uint8_t *record);

/* Try again what could not be placed.  Role and mutex as above. */
void journal_place_stuck(struct journal *journal);

/* journal->buffer with room for SIZE bytes; guarded by the role. */
uint8_t *journal_reserve(struct journal *journal, size_t size);

#endif
