/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of bytes, and bounded little-endian readers and writers over them. */
#include "meta/bytes.h"

#include <string.h>

struct bytes bytes_from_text(const char *text)
{
	return (struct bytes){ (const uint8_t *)text, strlen(text) };
}

bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool bytes_are_zero(struct bytes bytes)
{
	if (bytes.size == 0)
		return true;

	/* Every byte equals the one before it, and the first is zero: memcmp looks at many at once. */
	return bytes.data[0] == 0 && memcmp(bytes.data, bytes.data + 1, bytes.size - 1) == 0;
}

void reader_init(struct reader *reader, struct bytes input)
{
	*reader = (struct reader){ .left = input };
}

struct bytes read_span(struct reader *reader, size_t size)
{
	if (reader->has_failed || size > reader->left.size) {
		reader->has_failed = true;
		return (struct bytes){ NULL, 0 };
	}
	if (size == 0)
		return (struct bytes){ reader->left.data, 0 };

	struct bytes span = { reader->left.data, size };

	reader->left.data += size;
	reader->left.size -= size;
	return span;
}

static uint64_t read_number(struct reader *reader, size_t size)
{
	struct bytes span = read_span(reader, size);
	uint64_t value = 0;

	for (size_t i = span.size; i > 0; i--)
		value = value << 8 | span.data[i - 1];
	return value;
}

uint8_t read_u8(struct reader *reader)
{
	return (uint8_t)read_number(reader, 1);
}

uint16_t read_le16(struct reader *reader)
{
	return (uint16_t)read_number(reader, 2);
}

uint32_t read_le32(struct reader *reader)
{
	return (uint32_t)read_number(reader, 4);
}

uint64_t read_le64(struct reader *reader)
{
	return read_number(reader, 8);
}

void read_bytes(struct reader *reader, void *data, size_t size)
{
	struct bytes span = read_span(reader, size);

	if (size == 0)
		return;
	if (span.size == size)
		memcpy(data, span.data, size);
	else
		memset(data, 0, size);
}

void read_zeros(struct reader *reader, size_t size)
{
	if (!bytes_are_zero(read_span(reader, size)))
		reader->has_failed = true;
}

bool reader_ok(const struct reader *reader)
{
	return !reader->has_failed;
}

bool reader_finished(const struct reader *reader)
{
	return !reader->has_failed && reader->left.size == 0;
}

void writer_init(struct writer *writer, uint8_t *data, size_t capacity)
{
	*writer = (struct writer){ .data = data, .capacity = capacity };
}

/* Room for SIZE bytes, or NULL when they do not fit. */
static uint8_t *writer_claim(struct writer *writer, size_t size)
{
	if (writer->has_failed || size > writer->capacity - writer->size) {
		writer->has_failed = true;
		return NULL;
	}

	uint8_t *place = writer->data + writer->size;

	writer->size += size;
	return place;
}

static void write_number(struct writer *writer, uint64_t value, size_t size)
{
	uint8_t *place = writer_claim(writer, size);

	if (!place)
		return;
	for (size_t i = 0; i < size; i++)
		place[i] = (uint8_t)(value >> (8 * i));
}

void write_u8(struct writer *writer, uint8_t value)
{
	write_number(writer, value, 1);
}

void write_le16(struct writer *writer, uint16_t value)
{
	write_number(writer, value, 2);
}

void write_le32(struct writer *writer, uint32_t value)
{
	write_number(writer, value, 4);
}

void write_le64(struct writer *writer, uint64_t value)
{
	write_number(writer, value, 8);
}

void write_bytes(struct writer *writer, const void *data, size_t size)
{
	if (size == 0)
		return;

	uint8_t *place = writer_claim(writer, size);

	if (place)
		memcpy(place, data, size);
}

void write_span(struct writer *writer, struct bytes span)
{
	write_bytes(writer, span.data, span.size);
}

void write_zeros(struct writer *writer, size_t size)
{
	if (size == 0)
		return;

	uint8_t *place = writer_claim(writer, size);

	if (place)
		memset(place, 0, size);
}

bool writer_ok(const struct writer *writer)
{
	return !writer->has_failed;
}

struct bytes writer_bytes(const struct writer *writer)
{
	return (struct bytes){ writer->data, writer->size };
}
