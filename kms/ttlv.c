/* SPDX-License-Identifier: Apache-2.0 */
/* Tag, type, length, value. */
#include "kms/ttlv.h"

#include <errno.h>
#include <string.h>

static size_t padded_size(size_t size)
{
	return (size + 7) / 8 * 8;
}

static void put_be32(uint8_t *data, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		data[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint64_t get_be(const uint8_t *data, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | data[i];
	return value;
}

/* Room for an item, its header written and its value zeroed; NULL: it does not fit. */
static uint8_t *reserve(struct ttlv_writer *writer, uint32_t tag, enum ttlv_type type, size_t size)
{
	size_t room = writer->capacity - writer->size;
	uint8_t *item = writer->data + writer->size;

	if (writer->has_failed || room < TTLV_HEADER_SIZE || size > room - TTLV_HEADER_SIZE ||
	    padded_size(size) > room - TTLV_HEADER_SIZE) {
		writer->has_failed = true;
		return NULL;
	}
	put_be32(item, tag << 8 | (uint32_t)type);
	put_be32(item + 4, (uint32_t)size);
	memset(item + TTLV_HEADER_SIZE, 0, padded_size(size));
	writer->size += TTLV_HEADER_SIZE + padded_size(size);
	return item + TTLV_HEADER_SIZE;
}

void ttlv_begin(struct ttlv_writer *writer, uint32_t tag)
{
	if (writer->depth == TTLV_DEPTH_MAX) {
		writer->has_failed = true;
		return;
	}
	writer->open[writer->depth++] = writer->size;
	(void)reserve(writer, tag, TTLV_STRUCTURE, 0);
}

void ttlv_end(struct ttlv_writer *writer)
{
	size_t start;

	if (writer->has_failed || !writer->depth) {
		writer->has_failed = true;
		return;
	}
	start = writer->open[--writer->depth];
	put_be32(writer->data + start + 4, (uint32_t)(writer->size - start - TTLV_HEADER_SIZE));
}

static void write_number(struct ttlv_writer *writer, uint32_t tag, enum ttlv_type type,
			 uint32_t value)
{
	uint8_t *place = reserve(writer, tag, type, 4);

	if (place)
		put_be32(place, value);
}

void ttlv_write_integer(struct ttlv_writer *writer, uint32_t tag, uint32_t value)
{
	write_number(writer, tag, TTLV_INTEGER, value);
}

void ttlv_write_enumeration(struct ttlv_writer *writer, uint32_t tag, uint32_t value)
{
	write_number(writer, tag, TTLV_ENUMERATION, value);
}

static void write_value(struct ttlv_writer *writer, uint32_t tag, enum ttlv_type type,
			struct bytes value)
{
	uint8_t *place = reserve(writer, tag, type, value.size);

	if (place && value.size)
		memcpy(place, value.data, value.size);
}

void ttlv_write_text(struct ttlv_writer *writer, uint32_t tag, const char *value)
{
	write_value(writer, tag, TTLV_TEXT, bytes_from_text(value));
}

void ttlv_write_text_bytes(struct ttlv_writer *writer, uint32_t tag, struct bytes value)
{
	write_value(writer, tag, TTLV_TEXT, value);
}

void ttlv_write_bytes(struct ttlv_writer *writer, uint32_t tag, struct bytes value)
{
	write_value(writer, tag, TTLV_BYTES, value);
}

int ttlv_finish(const struct ttlv_writer *writer, struct bytes *ret_message)
{
	if (writer->has_failed || writer->depth)
		return -ENOBUFS;
	*ret_message = (struct bytes){ writer->data, writer->size };
	return 0;
}

size_t ttlv_message_size(const uint8_t header[static TTLV_HEADER_SIZE], size_t max)
{
	size_t size = (size_t)get_be(header + 4, 4);

	if (header[3] != TTLV_STRUCTURE || size % 8 || size > max - TTLV_HEADER_SIZE)
		return 0;
	return TTLV_HEADER_SIZE + size;
}

static bool size_fits(enum ttlv_type type, size_t size)
{
	switch (type) {
	case TTLV_INTEGER:
	case TTLV_ENUMERATION:
	case TTLV_INTERVAL:
		return size == 4;
	case TTLV_LONG_INTEGER:
	case TTLV_BOOLEAN:
	case TTLV_DATE_TIME:
		return size == 8;
	case TTLV_STRUCTURE:
	case TTLV_BIG_INTEGER:
		return size % 8 == 0;
	default:
		/* Text, bytes, and types that later versions of KMIP have: any length. */
		return true;
	}
}

/* Take one item off REST. */
static int take(struct bytes *rest, struct ttlv_item *item)
{
	size_t size;

	if (rest->size < TTLV_HEADER_SIZE)
		return -EBADMSG;
	item->tag = (uint32_t)get_be(rest->data, 3);
	item->type = (enum ttlv_type)rest->data[3];
	size = (size_t)get_be(rest->data + 4, 4);
	if (size > rest->size - TTLV_HEADER_SIZE ||
	    padded_size(size) > rest->size - TTLV_HEADER_SIZE || !size_fits(item->type, size))
		return -EBADMSG;
	item->value = (struct bytes){ rest->data + TTLV_HEADER_SIZE, size };
	rest->data += TTLV_HEADER_SIZE + padded_size(size);
	rest->size -= TTLV_HEADER_SIZE + padded_size(size);
	return 0;
}

/* Every structure that is open at a time has its place here: no recursion that a reply could deepen. */
static int check_inside(struct bytes value)
{
	struct bytes levels[TTLV_DEPTH_MAX] = { value };
	unsigned depth = 1;

	while (depth) {
		struct bytes *rest = &levels[depth - 1];
		struct ttlv_item item;

		if (!rest->size) {
			depth--;
			continue;
		}
		if (take(rest, &item) < 0)
			return -EBADMSG;
		if (item.type != TTLV_STRUCTURE)
			continue;
		if (depth == TTLV_DEPTH_MAX)
			return -EBADMSG;
		levels[depth++] = item.value;
	}
	return 0;
}

int ttlv_check(struct bytes message, uint32_t tag, struct ttlv_item *ret_structure)
{
	struct ttlv_item item;

	if (take(&message, &item) < 0 || message.size || item.tag != tag ||
	    item.type != TTLV_STRUCTURE || check_inside(item.value) < 0)
		return -EBADMSG;
	*ret_structure = item;
	return 0;
}

bool ttlv_next(struct bytes *rest, struct ttlv_item *ret_item)
{
	return rest->size && take(rest, ret_item) == 0;
}

bool ttlv_find(struct bytes structure, uint32_t tag, enum ttlv_type type,
	       struct ttlv_item *ret_item)
{
	while (ttlv_next(&structure, ret_item))
		if (ret_item->tag == tag && ret_item->type == type)
			return true;
	return false;
}

int64_t ttlv_value(const struct ttlv_item *item)
{
	uint64_t value = get_be(item->value.data, item->value.size < 8 ? item->value.size : 8);

	return (int64_t)value;
}

int64_t ttlv_number(struct bytes structure, uint32_t tag, enum ttlv_type type)
{
	struct ttlv_item item;

	return ttlv_find(structure, tag, type, &item) ? ttlv_value(&item) : 0;
}
