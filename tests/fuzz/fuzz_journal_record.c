/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as superblock, checkpoint and record of a journal; the CRCs are made to fit first. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "meta/encoding.h"
#include "meta/format/journal_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_le32(uint8_t *place, uint32_t value)
{
	struct writer writer;

	writer_init(&writer, place, 4);
	write_le32(&writer, value);
}

static void try_superblock(uint8_t *data, size_t size)
{
	struct journal_superblock superblock;
	uint8_t encoded[JOURNAL_SUPERBLOCK_SIZE];

	if (size >= JOURNAL_SUPERBLOCK_SIZE)
		put_le32(data + 72, crc32c(0, (struct bytes){ data, 72 }));
	if (journal_superblock_decode((struct bytes){ data, size }, &superblock, NULL) < 0)
		return;
	journal_superblock_encode(&superblock, encoded);
	if (memcmp(encoded, data, sizeof(encoded)) != 0)
		abort();
}

static void try_checkpoint(uint8_t *data, size_t size)
{
	struct journal_checkpoint checkpoint;
	uint8_t encoded[JOURNAL_CHECKPOINT_SIZE];

	if (size >= JOURNAL_CHECKPOINT_SIZE)
		put_le32(data + 16, crc32c(0, (struct bytes){ data, 16 }));
	if (journal_checkpoint_decode((struct bytes){ data, size }, &checkpoint, NULL) < 0)
		return;
	journal_checkpoint_encode(&checkpoint, encoded);
	if (memcmp(encoded, data, sizeof(encoded)) != 0)
		abort();
}

static void try_record(uint8_t *data, size_t size)
{
	const struct bytes input = { data, size };
	struct journal_checkpoint expected = { 0 };
	struct journal_record record;
	struct reader reader;
	size_t record_size;

	if (journal_record_peek(input, &record_size) == 0 && record_size <= size) {
		put_le32(data + 12, 0);
		journal_record_finish(data, record_size);
		reader_init(&reader, (struct bytes){ data + 16, 16 });
		expected.epoch = read_le64(&reader);
		expected.first_sequence = read_le64(&reader);
	}
	if (journal_record_decode(input, &expected, &record, &record_size, NULL) < 0)
		return;

	uint8_t *encoded = malloc(record_size);

	if (!encoded || journal_record_encode(&record, encoded) != record_size)
		abort();
	memcpy(journal_record_mac_slot(encoded, record_size), journal_record_mac(data, record_size),
	       JOURNAL_RECORD_MAC_SIZE);
	journal_record_finish(encoded, record_size);
	if (memcmp(encoded, data, record_size) != 0)
		abort();
	free(encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(uint8_t *, size_t) = { try_superblock, try_checkpoint,
							    try_record };

	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		uint8_t *copy = malloc(size);

		if (!copy)
			return 0;
		memcpy(copy, data, size);
		tries[i](copy, size);
		free(copy);
	}
	return 0;
}
