/* SPDX-License-Identifier: Apache-2.0 */
/* File headers: meta/format/header.h. */
#include "meta/format/header.h"

#include <errno.h>
#include <string.h>

#include "meta/format/fault.h"

#define HEADER_VERSION       1
#define HEADER_FLAG_SPARSE   1u
#define HEADER_RESERVED      8
#define HEADER_ALGORITHM_MAX 2

static const char header_magic[HEADER_MAGIC_SIZE] = { 'S', 'N', 'P', 'C', 'R', 'Y', 'P', 'T' };

bool header_has_magic(const uint8_t data[static HEADER_MAGIC_SIZE])
{
	return memcmp(data, header_magic, sizeof(header_magic)) == 0;
}

void header_encode(const struct header *header, uint8_t data[static HEADER_SIZE])
{
	struct writer writer;

	writer_init(&writer, data, HEADER_SIZE);
	write_bytes(&writer, header_magic, sizeof(header_magic));
	write_le16(&writer, HEADER_VERSION);
	write_u8(&writer, header->algorithm);
	write_u8(&writer, header->block_size_log2);
	write_le32(&writer, header->is_sparse ? HEADER_FLAG_SPARSE : 0);
	write_bytes(&writer, header->volume.bytes, UUID_SIZE);
	write_bytes(&writer, header->dek.bytes, UUID_SIZE);
	write_bytes(&writer, header->object_id, sizeof(header->object_id));
	write_bytes(&writer, header->content_id, sizeof(header->content_id));
	write_zeros(&writer, HEADER_RESERVED);
	write_zeros(&writer, HEADER_MAC_SIZE);
}

static int compare_with_volume(const struct header *header,
			       const struct header_expectation *expected, const char **reterr_fault)
{
	if (!uuid_equal(&header->volume, &expected->volume))
		return format_fault(reterr_fault, -EBADMSG, "wrong-volume");
	if (header->algorithm != expected->algorithm)
		return format_fault(reterr_fault, -EBADMSG, "wrong-algorithm");
	if (header->block_size_log2 != expected->block_size_log2)
		return format_fault(reterr_fault, -EBADMSG, "wrong-block-size");
	return 0;
}

int header_decode(struct bytes data, const struct header_expectation *expected,
		  struct header *ret_header, const char **reterr_fault)
{
	if (data.size < HEADER_SIZE)
		return format_fault(reterr_fault, -EBADMSG, "short");

	struct reader reader;
	uint8_t magic[sizeof(header_magic)];
	struct header header = { 0 };

	reader_init(&reader, (struct bytes){ data.data, HEADER_MAC_OFFSET });
	read_bytes(&reader, magic, sizeof(magic));
	if (memcmp(magic, header_magic, sizeof(magic)) != 0)
		return format_fault(reterr_fault, -EBADMSG, "bad-magic");
	if (read_le16(&reader) != HEADER_VERSION)
		return format_fault(reterr_fault, -ENOTSUP, "bad-version");
	header.algorithm = read_u8(&reader);
	if (header.algorithm == 0 || header.algorithm > HEADER_ALGORITHM_MAX)
		return format_fault(reterr_fault, -ENOTSUP, "bad-algorithm");
	header.block_size_log2 = read_u8(&reader);

	const uint32_t flags = read_le32(&reader);

	if (flags & ~HEADER_FLAG_SPARSE)
		return format_fault(reterr_fault, -ENOTSUP, "bad-flags");
	header.is_sparse = flags & HEADER_FLAG_SPARSE;
	read_bytes(&reader, header.volume.bytes, UUID_SIZE);
	read_bytes(&reader, header.dek.bytes, UUID_SIZE);
	read_bytes(&reader, header.object_id, sizeof(header.object_id));
	read_bytes(&reader, header.content_id, sizeof(header.content_id));
	read_zeros(&reader, HEADER_RESERVED);
	if (!reader_finished(&reader))
		return format_fault(reterr_fault, -EBADMSG, "bad-padding");

	const int r = compare_with_volume(&header, expected, reterr_fault);

	if (r < 0)
		return r;
	*ret_header = header;
	return 0;
}
