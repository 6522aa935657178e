/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of the redo journal.  Format: meta/FORMAT.md, "Journal". */
#ifndef SNAPCRYPT_META_FORMAT_JOURNAL_RECORD_H
#define SNAPCRYPT_META_FORMAT_JOURNAL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/format/header.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define JOURNAL_SUPERBLOCK_SIZE  512
#define JOURNAL_CHECKPOINT_SIZE  512
#define JOURNAL_CHECKPOINT_COUNT 2
#define JOURNAL_AREA_OFFSET      16384
#define JOURNAL_RECORD_HEAD_SIZE 128
#define JOURNAL_RECORD_ALIGNMENT 8
#define JOURNAL_RECORD_MAC_SIZE  32
#define JOURNAL_RECORD_DATA_MAX  ((uint32_t)8 << 20)
#define JOURNAL_RECORD_PATH_MAX  65535

struct journal_superblock {
	struct uuid volume;
	struct uuid mount;
	uint64_t number;
	uint64_t area_offset;
	uint64_t area_size;
};

void journal_superblock_encode(const struct journal_superblock *superblock,
			       uint8_t data[static JOURNAL_SUPERBLOCK_SIZE]);

/* -EBADMSG: malformed.  -ENOTSUP: another version.  Faults as in meta/format/fault.h. */
MUST_CHECK int journal_superblock_decode(struct bytes data,
					 struct journal_superblock *ret_superblock,
					 const char **reterr_fault);

/* From which record on a scan reads.  The valid slot with the higher epoch counts. */
struct journal_checkpoint {
	uint64_t epoch;
	uint64_t first_sequence;
};

/* Where slot INDEX (0 or 1) is in the file. */
static inline uint64_t journal_checkpoint_offset(unsigned index)
{
	return 4096 + (uint64_t)index * 4096;
}

/*
 * Where the records of an epoch lie: in the half of the area that the epoch's lowest bit names, so
 * that a checkpoint writes the next epoch's first records while those of this one still count.
 */
struct journal_half {
	uint64_t offset;
	uint64_t size;
};

static inline struct journal_half journal_half(const struct journal_superblock *superblock,
					       uint64_t epoch)
{
	const uint64_t size = superblock->area_size / JOURNAL_RECORD_ALIGNMENT / 2 *
			      JOURNAL_RECORD_ALIGNMENT;

	return (struct journal_half){ superblock->area_offset + (epoch & 1) * size, size };
}

void journal_checkpoint_encode(const struct journal_checkpoint *checkpoint,
			       uint8_t data[static JOURNAL_CHECKPOINT_SIZE]);

/* -EBADMSG: torn or never written. */
MUST_CHECK int journal_checkpoint_decode(struct bytes data,
					 struct journal_checkpoint *ret_checkpoint,
					 const char **reterr_fault);

enum journal_record_kind { JOURNAL_RECORD_WRITE = 1, JOURNAL_RECORD_APPLIED = 2 };

/* PATH and DATA are borrowed: when decoded, from the input. */
struct journal_record {
	enum journal_record_kind kind;
	bool is_exact;
	bool has_header;
	bool is_open;
	uint64_t epoch;
	uint64_t sequence;
	struct uuid snapshot;
	struct uuid dek;
	uint8_t object_id[HEADER_OBJECT_ID_SIZE];
	uint8_t content_id[HEADER_CONTENT_ID_SIZE];
	uint64_t offset;
	uint64_t result;
	struct bytes path;
	struct bytes data;
};

/* Bytes of a whole record, MAC included; a multiple of 8. */
size_t journal_record_size(size_t path_size, size_t data_size);

/*
 * Write a record with zeros in place of its MAC and CRC; returns its size.  Then the caller puts the
 * MAC at journal_record_mac_slot() and calls journal_record_finish().
 *
 *   data   journal_record_size() bytes
 */
size_t journal_record_encode(const struct journal_record *record, uint8_t *data);

/* Write the CRC, which covers the MAC too: a torn record is not taken for a forged one. */
void journal_record_finish(uint8_t *data, size_t size);

/* What the MAC of a whole record of SIZE bytes covers: everything before it, the CRC as zero. */
#define JOURNAL_RECORD_MAC_PARTS 3
void journal_record_mac_parts(const uint8_t *data, size_t size,
			      struct bytes parts[static JOURNAL_RECORD_MAC_PARTS]);

static inline uint8_t *journal_record_mac_slot(uint8_t *data, size_t size)
{
	return data + size - JOURNAL_RECORD_MAC_SIZE;
}

static inline const uint8_t *journal_record_mac(const uint8_t *data, size_t size)
{
	return data + size - JOURNAL_RECORD_MAC_SIZE;
}

/*
 * How many bytes the record at the beginning of DATA (at least JOURNAL_RECORD_HEAD_SIZE of them)
 * claims to have, so that a scan knows what to read.  -ENODATA: no record begins here.
 */
MUST_CHECK int journal_record_peek(struct bytes data, size_t *ret_size);

/*
 * Read the record at the beginning of DATA.  Its MAC is not checked: the caller does, under the DEK
 * that it names.
 *
 *   expected   epoch and sequence that this record must have: the scan's
 *   ret_size   bytes of the record
 *
 * -ENODATA: no such record, the scan ends here (magic, length, epoch, sequence or CRC does not
 * fit). -EBADMSG: a whole record that says what no writer says.  -ENOTSUP: a kind or flag that this
 * version does not know.
 */
MUST_CHECK int journal_record_decode(struct bytes data, const struct journal_checkpoint *expected,
				     struct journal_record *ret_record, size_t *ret_size,
				     const char **reterr_fault);

#endif
