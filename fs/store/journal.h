/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The redo journal of one writable mount.  Format: meta/FORMAT.md, section 10.
 *
 * A change is appended to the batch in memory and gets a sequence number.  A commit makes the batch durable with one
 * fdatasync and then writes it in place.  Until then journal_overlay() shows it to readers.  Thread-safe; a file's changes
 * are appended under that file's lock, so they are in order.
 */
#ifndef SNAPCRYPT_FS_STORE_JOURNAL_H
#define SNAPCRYPT_FS_STORE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/store/store.h"
#include "meta/bytes.h"

struct journal;

/* What the journal keeps for one open file: live records, a duplicate of its descriptor.  Lives until applied. */
struct journal_file;

/* Identity of the file a change belongs to. */
struct journal_identity {
	struct uuid snapshot;
	struct dek *dek; /* borrowed; the journal takes its own reference */
	uint8_t object_id[16];
	uint8_t content_id[24];
	const char *path; /* backing path below the root */
};

struct journal_change {
	uint64_t offset;   /* backing offset */
	struct bytes data; /* sealed bytes; may be empty (a shrink to a hole) */
	uint64_t result;   /* backing size afterwards */
	bool is_exact;     /* cut to result */
	bool has_header;   /* data begins with a header, under the same DEK */
	bool is_open;      /* ends with an empty last block, behind which direct writes go on until
					  * journal_retire(); see FORMAT.md, section 10, flag `open` */
};

/* Create .snapcrypt/journal/<mount>, preallocated. */
MUST_CHECK int journal_create(struct store *store, struct journal **ret_journal);
/* Commit, apply, remove the file.  Keeps the file if anything could not be applied. */
int journal_close(struct journal *journal);

/* Begin journaling for a file open at FD (duplicated).  */
MUST_CHECK int journal_file_open(struct journal *journal, const struct journal_identity *identity,
				 int fd, struct journal_file **ret_file);

/* Append one change; commits by itself when the batch is full (8 MiB).  -EIO etc. are sticky for the file. */
MUST_CHECK int journal_append(struct journal_file *file, const struct journal_change *change);

/* Durable and in place: everything appended for this file so far. */
MUST_CHECK int journal_commit(struct journal_file *file);

/*
 * Commit, fdatasync() the data file, make an `applied` record durable: the file has no live records any more.  Frees FILE,
 * also on failure (what could not be applied stays in the journal for the next mount).
 */
MUST_CHECK int journal_retire(struct journal_file *file);

/*
 * Before a file that may have been open before is opened again: put in place what could not be when it was closed.  0: there
 * is nothing of that kind; 1: it is in place now, what was read of the file before may be old; else the error that still
 * stands in the way (-ENOSPC ...).  Cheap.
 */
MUST_CHECK int journal_settle(struct journal *journal, const uint8_t object_id[static 16]);

/* Copy pending (appended, not yet in place) bytes over what was read from the backing file at OFFSET. */
void journal_overlay(struct journal_file *file, uint64_t offset, uint8_t *data, size_t size);
/*
 * How many times pending bytes of this file have moved into place.  A reader that finds the same number before its pread()
 * and after journal_overlay() has seen one state; otherwise it reads again.
 */
uint64_t journal_applied_count(struct journal_file *file);
/* Backing size as it will be once everything pending is in place. */
uint64_t journal_pending_size(struct journal_file *file, uint64_t backing_size);

/* Commit and apply everything; move the checkpoint (unmount, full area). */
MUST_CHECK int journal_checkpoint(struct journal *journal);

/*
 * Journals that dead mounts left.  recovery_scan() reads them all; on a writable store recovery_apply() applies what is under
 * a DEK that has become available (before the first file under it is served) and removes journals that are done with; on a
 * read-only store the records overlay files as they are opened.
 */
struct recovery;
MUST_CHECK int recovery_scan(struct store *store, struct recovery **ret_recovery);
MUST_CHECK int recovery_apply(struct recovery *recovery, struct dek *dek);
/* Is there anything for a DEK?  Read-only: also once recovery_apply() has made it ready to be overlaid. */
bool recovery_is_needed(const struct recovery *recovery, const struct uuid *dek_id);
bool recovery_is_idle(
	const struct recovery *recovery); /* nothing at all was left, or it is done with */
size_t recovery_pending(const struct recovery *recovery); /* records that wait for their DEK */
/*
 * Read-only: bytes and size of a file as its records leave it.  CONTENT_ID: of the header in place, also when a record brings
 * another.  BACKING: the size in place, and whether the last block there verifies (decides about `open` records).
 * recovery_overlay() returns whether any record applies to the file, also for SIZE 0.
 */
struct recovery_backing {
	uint64_t size;
	bool is_end_authentic;
};
bool recovery_overlay(struct recovery *recovery, const uint8_t object_id[static 16],
		      const uint8_t content_id[static 24], const struct recovery_backing *backing,
		      uint64_t offset, uint8_t *data, size_t size);
uint64_t recovery_size(struct recovery *recovery, const uint8_t object_id[static 16],
		       const uint8_t content_id[static 24], const struct recovery_backing *backing);
void recovery_free(struct recovery *recovery);

#endif
