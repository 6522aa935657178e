/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of the redo journal: meta/format/journal_record.h. */
#include "meta/format/journal_record.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "meta/encoding.h"
#include "meta/format/fault.h"

#define JOURNAL_VERSION       1
#define SUPERBLOCK_CRC_OFFSET 72
#define CHECKPOINT_CRC_OFFSET 16
#define RECORD_CRC_OFFSET     12
#define RECORD_FLAG_EXACT     1u
#define RECORD_FLAG_HEADER    2u
#define RECORD_FLAG_OPEN      4u
#define RECORD_FLAGS          (RECORD_FLAG_EXACT | RECORD_FLAG_HEADER | RECORD_FLAG_OPEN)

static const char superblock_magic[8] = { 'S', 'N', 'P', 'J', 'R', 'N', 'L', '1' };
static const uint8_t crc_as_zero[4];
static const char record_magic[4] = { 'J', 'R', 'E', 'C' };

static uint32_t crc_of(const uint8_t *data, size_t size)
{
	return crc32c(0, (struct bytes){ data, size });
}

void journal_superblock_encode(const struct journal_superblock *superblock,
			       uint8_t data[static JOURNAL_SUPERBLOCK_SIZE])
{
	struct writer writer;

	writer_init(&writer, data, JOURNAL_SUPERBLOCK_SIZE);
	write_bytes(&writer, superblock_magic, sizeof(superblock_magic));
	write_le16(&writer, JOURNAL_VERSION);
	write_zeros(&writer, 6);
	write_bytes(&writer, superblock->volume.bytes, UUID_SIZE);
	write_bytes(&writer, superblock->mount.bytes, UUID_SIZE);
	write_le64(&writer, superblock->number);
	write_le64(&writer, superblock->area_offset);
	write_le64(&writer, superblock->area_size);
	write_le32(&writer, crc_of(data, SUPERBLOCK_CRC_OFFSET));
	write_zeros(&writer, JOURNAL_SUPERBLOCK_SIZE - SUPERBLOCK_CRC_OFFSET - 4);
}

int journal_superblock_decode(struct bytes data, struct journal_superblock *ret_superblock,
			      const char **reterr_fault)
{
	if (data.size < JOURNAL_SUPERBLOCK_SIZE)
		return format_fault(reterr_fault, -EBADMSG, "short");

	struct reader reader;
	struct journal_superblock superblock = { 0 };

	reader_init(&reader, (struct bytes){ data.data, JOURNAL_SUPERBLOCK_SIZE });
	if (memcmp(read_span(&reader, sizeof(superblock_magic)).data, superblock_magic,
		   sizeof(superblock_magic)) != 0)
		return format_fault(reterr_fault, -EBADMSG, "bad-magic");
	if (read_le16(&reader) != JOURNAL_VERSION)
		return format_fault(reterr_fault, -ENOTSUP, "bad-version");
	read_zeros(&reader, 6);
	read_bytes(&reader, superblock.volume.bytes, UUID_SIZE);
	read_bytes(&reader, superblock.mount.bytes, UUID_SIZE);
	superblock.number = read_le64(&reader);
	superblock.area_offset = read_le64(&reader);
	superblock.area_size = read_le64(&reader);
	if (!reader_ok(&reader))
		return format_fault(reterr_fault, -EBADMSG, "bad-padding");
	if (read_le32(&reader) != crc_of(data.data, SUPERBLOCK_CRC_OFFSET))
		return format_fault(reterr_fault, -EBADMSG, "bad-crc");
	read_zeros(&reader, JOURNAL_SUPERBLOCK_SIZE - SUPERBLOCK_CRC_OFFSET - 4);
	if (!reader_finished(&reader))
		return format_fault(reterr_fault, -EBADMSG, "bad-padding");
	if (superblock.area_offset != JOURNAL_AREA_OFFSET)
		return format_fault(reterr_fault, -EBADMSG, "bad-offset");
	if (superblock.area_size > INT64_MAX - JOURNAL_AREA_OFFSET)
		return format_fault(reterr_fault, -EBADMSG, "bad-length");
	*ret_superblock = superblock;
	return 0;
}

void journal_checkpoint_encode(const struct journal_checkpoint *checkpoint,
			       uint8_t data[static JOURNAL_CHECKPOINT_SIZE])
{
	struct writer writer;

	writer_init(&writer, data, JOURNAL_CHECKPOINT_SIZE);
	write_le64(&writer, checkpoint->epoch);
	write_le64(&writer, checkpoint->first_sequence);
	write_le32(&writer, crc_of(data, CHECKPOINT_CRC_OFFSET));
	write_zeros(&writer, JOURNAL_CHECKPOINT_SIZE - CHECKPOINT_CRC_OFFSET - 4);
}

int journal_checkpoint_decode(struct bytes data, struct journal_checkpoint *ret_checkpoint,
			      const char **reterr_fault)
{
	if (data.size < JOURNAL_CHECKPOINT_SIZE)
		return format_fault(reterr_fault, -EBADMSG, "short");

	struct reader reader;
	struct journal_checkpoint checkpoint = { 0 };

	reader_init(&reader, (struct bytes){ data.data, JOURNAL_CHECKPOINT_SIZE });
	checkpoint.epoch = read_le64(&reader);
	checkpoint.first_sequence = read_le64(&reader);
	if (read_le32(&reader) != crc_of(data.data, CHECKPOINT_CRC_OFFSET))
		return format_fault(reterr_fault, -EBADMSG, "bad-crc");
	read_zeros(&reader, JOURNAL_CHECKPOINT_SIZE - CHECKPOINT_CRC_OFFSET - 4);
	if (!reader_finished(&reader))
		return format_fault(reterr_fault, -EBADMSG, "bad-padding");
	*ret_checkpoint = checkpoint;
	return 0;
}

static size_t padding_after(size_t size)
{
	return (JOURNAL_RECORD_ALIGNMENT - size % JOURNAL_RECORD_ALIGNMENT) %
	       JOURNAL_RECORD_ALIGNMENT;
}

size_t journal_record_size(size_t path_size, size_t data_size)
{
	assert(path_size <= JOURNAL_RECORD_PATH_MAX && data_size <= JOURNAL_RECORD_DATA_MAX);

	const size_t body = JOURNAL_RECORD_HEAD_SIZE + path_size + data_size;

	return body + padding_after(body) + JOURNAL_RECORD_MAC_SIZE;
}

size_t journal_record_encode(const struct journal_record *record, uint8_t *data)
{
	const size_t size = journal_record_size(record->path.size, record->data.size);
	const size_t body = JOURNAL_RECORD_HEAD_SIZE + record->path.size + record->data.size;
	struct writer writer;

	writer_init(&writer, data, size);
	write_bytes(&writer, record_magic, sizeof(record_magic));
	write_u8(&writer, (uint8_t)record->kind);
	write_u8(&writer, (uint8_t)((record->is_exact ? RECORD_FLAG_EXACT : 0) |
				    (record->has_header ? RECORD_FLAG_HEADER : 0) |
				    (record->is_open ? RECORD_FLAG_OPEN : 0)));
	write_le16(&writer, (uint16_t)record->path.size);
	write_le32(&writer, (uint32_t)record->data.size);
	write_le32(&writer, 0);
	write_le64(&writer, record->epoch);
	write_le64(&writer, record->sequence);
	write_bytes(&writer, record->snapshot.bytes, UUID_SIZE);
	write_bytes(&writer, record->dek.bytes, UUID_SIZE);
	write_bytes(&writer, record->object_id, sizeof(record->object_id));
	write_bytes(&writer, record->content_id, sizeof(record->content_id));
	write_le64(&writer, record->offset);
	write_le64(&writer, record->result);
	write_zeros(&writer, 8);
	write_span(&writer, record->path);
	write_span(&writer, record->data);
	write_zeros(&writer, padding_after(body) + JOURNAL_RECORD_MAC_SIZE);

	return size;
}

/* CRC of a whole record: its own field counts as zero. */
static uint32_t record_crc(const uint8_t *record, size_t size)
{
	const size_t rest = RECORD_CRC_OFFSET + sizeof(crc_as_zero);
	uint32_t crc = crc_of(record, RECORD_CRC_OFFSET);

	crc = crc32c(crc, (struct bytes){ crc_as_zero, sizeof(crc_as_zero) });
	return crc32c(crc, (struct bytes){ record + rest, size - rest });
}

void journal_record_finish(uint8_t *data, size_t size)
{
	const uint32_t crc = record_crc(data, size);
	struct writer writer;

	writer_init(&writer, data + RECORD_CRC_OFFSET, sizeof(crc));
	write_le32(&writer, crc);
}

void journal_record_mac_parts(const uint8_t *data, size_t size,
			      struct bytes parts[static JOURNAL_RECORD_MAC_PARTS])
{
	const size_t rest = RECORD_CRC_OFFSET + sizeof(crc_as_zero);

	parts[0] = (struct bytes){ data, RECORD_CRC_OFFSET };
	parts[1] = (struct bytes){ crc_as_zero, sizeof(crc_as_zero) };
	parts[2] = (struct bytes){ data + rest, size - JOURNAL_RECORD_MAC_SIZE - rest };
}

int journal_record_peek(struct bytes data, size_t *ret_size)
{
	if (data.size < JOURNAL_RECORD_HEAD_SIZE ||
	    memcmp(data.data, record_magic, sizeof(record_magic)) != 0)
		return -ENODATA;

	struct reader reader;

	reader_init(&reader, (struct bytes){ data.data + 6, 6 });

	const size_t path_size = read_le16(&reader);
	const uint32_t data_size = read_le32(&reader);

	if (data_size > JOURNAL_RECORD_DATA_MAX)
		return -ENODATA;
	*ret_size = journal_record_size(path_size, data_size);
	return 0;
}

/* What no writer says, in a record that is whole. */
static int check_record(const struct journal_record *record, const char **reterr_fault)
{
	uint64_t end;

	if (record->kind == JOURNAL_RECORD_APPLIED) {
		if (record->is_exact || record->has_header || record->is_open)
			return format_fault(reterr_fault, -EBADMSG, "bad-flags");
		if (record->data.size > 0)
			return format_fault(reterr_fault, -EBADMSG, "bad-length");
		return 0;
	}
	if (__builtin_add_overflow(record->offset, record->data.size, &end) || end > INT64_MAX)
		return format_fault(reterr_fault, -EBADMSG, "bad-offset");
	if (record->has_header && record->offset != 0)
		return format_fault(reterr_fault, -EBADMSG, "bad-offset");
	if (record->is_open && record->data.size < LAYOUT_BLOCK_OVERHEAD)
		return format_fault(reterr_fault, -EBADMSG, "bad-length");
	if (record->has_header && record->data.size < HEADER_SIZE)
		return format_fault(reterr_fault, -EBADMSG, "bad-length");
	if (record->result > INT64_MAX || (record->is_exact && end > record->result))
		return format_fault(reterr_fault, -EBADMSG, "bad-length");
	if (memchr(record->path.data, '\0', record->path.size))
		return format_fault(reterr_fault, -EBADMSG, "bad-name");
	return 0;
}

static int read_record(struct bytes whole, struct journal_record *ret_record,
		       const char **reterr_fault)
{
	struct reader reader;
	struct journal_record record = { 0 };

	reader_init(&reader, (struct bytes){ whole.data, whole.size - JOURNAL_RECORD_MAC_SIZE });
	(void)read_span(&reader, sizeof(record_magic));

	const uint8_t kind = read_u8(&reader);
	const uint8_t flags = read_u8(&reader);
	const size_t path_size = read_le16(&reader);
	const size_t data_size = read_le32(&reader);

	(void)read_le32(&reader);
	if (kind != JOURNAL_RECORD_WRITE && kind != JOURNAL_RECORD_APPLIED)
		return format_fault(reterr_fault, -ENOTSUP, "bad-kind");
	if (flags & ~RECORD_FLAGS)
		return format_fault(reterr_fault, -ENOTSUP, "bad-flags");
	record.kind = kind;
	record.is_exact = flags & RECORD_FLAG_EXACT;
	record.has_header = flags & RECORD_FLAG_HEADER;
	record.is_open = flags & RECORD_FLAG_OPEN;
	record.epoch = read_le64(&reader);
	record.sequence = read_le64(&reader);
	read_bytes(&reader, record.snapshot.bytes, UUID_SIZE);
	read_bytes(&reader, record.dek.bytes, UUID_SIZE);
	read_bytes(&reader, record.object_id, sizeof(record.object_id));
	read_bytes(&reader, record.content_id, sizeof(record.content_id));
	record.offset = read_le64(&reader);
	record.result = read_le64(&reader);
	read_zeros(&reader, 8);
	record.path = read_span(&reader, path_size);
	record.data = read_span(&reader, data_size);
	read_zeros(&reader, reader.left.size);
	if (!reader_finished(&reader))
		return format_fault(reterr_fault, -EBADMSG, "bad-padding");
	*ret_record = record;
	return check_record(ret_record, reterr_fault);
}

int journal_record_decode(struct bytes data, const struct journal_checkpoint *expected,
			  struct journal_record *ret_record, size_t *ret_size,
			  const char **reterr_fault)
{
	size_t size;

	if (data.size < JOURNAL_RECORD_HEAD_SIZE)
		return format_fault(reterr_fault, -ENODATA, "short");
	if (memcmp(data.data, record_magic, sizeof(record_magic)) != 0)
		return format_fault(reterr_fault, -ENODATA, "bad-magic");
	if (journal_record_peek(data, &size) < 0)
		return format_fault(reterr_fault, -ENODATA, "bad-length");
	if (data.size < size)
		return format_fault(reterr_fault, -ENODATA, "short");

	struct reader reader;

	reader_init(&reader, (struct bytes){ data.data + RECORD_CRC_OFFSET, 20 });

	const uint32_t crc = read_le32(&reader);

	if (read_le64(&reader) != expected->epoch)
		return format_fault(reterr_fault, -ENODATA, "wrong-epoch");
	if (read_le64(&reader) != expected->first_sequence)
		return format_fault(reterr_fault, -ENODATA, "wrong-sequence");
	if (crc != record_crc(data.data, size))
		return format_fault(reterr_fault, -ENODATA, "bad-crc");

	struct journal_record record;
	const int r = read_record((struct bytes){ data.data, size }, &record, reterr_fault);

	if (r < 0)
		return r;
	*ret_record = record;
	*ret_size = size;
	return 0;
}
