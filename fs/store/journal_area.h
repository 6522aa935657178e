/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a journal: its superblock, checkpoint slots and area.  One thread at a time. */
#ifndef SNAPCRYPT_FS_STORE_JOURNAL_AREA_H
#define SNAPCRYPT_FS_STORE_JOURNAL_AREA_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/store/store.h"
#include "meta/bytes.h"
#include "meta/format/journal_record.h"

/*
 *   position   where the next record goes
 *   end        of the half that holds this epoch
 *   sequence   of the next record
 *   error      set when it is not known which slot counts on disk: nothing may be written any more
 */
struct journal_area {
	int fd;
	struct journal_superblock superblock;
	uint64_t epoch;
	uint64_t position;
	uint64_t end;
	uint64_t sequence;
	int error;
};

/* For each file with live records so many bytes are left free, for the `applied` record that recovery adds. */
#define JOURNAL_RESERVE_FOR_FILE (JOURNAL_RECORD_HEAD_SIZE + JOURNAL_RECORD_MAC_SIZE)

/* Bytes that an epoch of one file holds. */
uint64_t journal_area_capacity(const struct journal_area *area);

/* Create .snapcrypt/journal/<mount>, durable and locked.  -ENOSPC: not even the smallest fits. */
MUST_CHECK int journal_area_create(struct store *store, struct journal_area *ret_area);

/* Make COUNT whole records durable behind those that are there; they must fit. */
MUST_CHECK int journal_area_append(struct journal_area *area, struct bytes records, size_t count);

/*
 * Begin the next epoch.  Everything of this one is durable in place, but what RECORDS says again: COUNT records, encoded
 * for epoch + 1 and from area->sequence on.
 */
MUST_CHECK int journal_area_advance(struct journal_area *area, struct bytes records, size_t count);

/* Remove the file: nothing is to be found in it any more.  Close it afterwards. */
MUST_CHECK int journal_area_remove(struct store *store, struct journal_area *area);
void journal_area_close(struct journal_area *area);

/* The directory of journals.  -ENOENT: there is none. */
MUST_CHECK int journal_directory_open(struct store *store);

#endif
