/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed values: meta/format/sealed_value.h. */
#include "meta/format/sealed_value.h"

#include <assert.h>
#include <errno.h>

#include "meta/format/fault.h"

#define SEALED_VALUE_VERSION 1

void sealed_value_encode_head(const struct uuid *dek, uint8_t head[static SEALED_VALUE_HEAD_SIZE])
{
	struct writer writer;

	writer_init(&writer, head, SEALED_VALUE_HEAD_SIZE);
	write_u8(&writer, SEALED_VALUE_VERSION);
	write_bytes(&writer, dek->bytes, UUID_SIZE);
}

int sealed_value_decode(struct bytes value, struct uuid *ret_dek, struct bytes *ret_sealed,
			const char **reterr_fault)
{
	if (value.size > 0 && value.data[0] != SEALED_VALUE_VERSION)
		return format_fault(reterr_fault, -ENOTSUP, "bad-version");
	if (value.size < SEALED_VALUE_OVERHEAD)
		return format_fault(reterr_fault, -EBADMSG, "short");
	if (value.size > SEALED_VALUE_OVERHEAD + XATTR_VALUE_MAX)
		return format_fault(reterr_fault, -EBADMSG, "long");

	struct reader reader;

	reader_init(&reader, value);
	(void)read_u8(&reader);
	read_bytes(&reader, ret_dek->bytes, UUID_SIZE);
	*ret_sealed = reader.left;
	return 0;
}

size_t sealed_value_aad(const struct sealed_value_place *place,
			uint8_t aad[static SEALED_VALUE_AAD_MAX])
{
	struct writer writer;

	assert(place->name.size <= SEALED_VALUE_NAME_MAX);
	writer_init(&writer, aad, SEALED_VALUE_AAD_MAX);
	write_bytes(&writer, place->volume->bytes, UUID_SIZE);
	write_u8(&writer, (uint8_t)place->kind);
	if (place->object_id)
		write_bytes(&writer, place->object_id, SEALED_VALUE_OBJECT_ID_SIZE);
	else
		write_zeros(&writer, SEALED_VALUE_OBJECT_ID_SIZE);
	write_span(&writer, place->name);
	return writer.size;
}

size_t symlink_plain_size(size_t stored_size)
{
	const size_t value_size = stored_size / 4 * 3 + stored_size % 4 * 3 / 4;

	return value_size < SEALED_VALUE_OVERHEAD ? 0 : value_size - SEALED_VALUE_OVERHEAD;
}
