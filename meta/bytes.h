/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of bytes, and bounded little-endian readers and writers over them. */
#ifndef SNAPCRYPT_META_BYTES_H
#define SNAPCRYPT_META_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/macros.h"

/* Borrowed, never owned. */
struct bytes {
	const uint8_t *data;
	size_t size;
};

/* The characters of TEXT without the NUL. */
struct bytes bytes_from_text(const char *text);

bool bytes_equal(struct bytes a, struct bytes b);

/* Not for secrets: for those there is secret_equal(). */
bool bytes_are_zero(struct bytes bytes);

/*
 * A reader stops at the end of its input and remembers that it did: what it returns from then on is
 * zero. Check once, with reader_ok() or reader_finished().
 */
struct reader {
	struct bytes left;
	bool has_failed;
};

void reader_init(struct reader *reader, struct bytes input);
uint8_t read_u8(struct reader *reader);
uint16_t read_le16(struct reader *reader);
uint32_t read_le32(struct reader *reader);
uint64_t read_le64(struct reader *reader);

/* Copy SIZE bytes to DATA; zeros on failure. */
void read_bytes(struct reader *reader, void *data, size_t size);

/* SIZE bytes in place; empty on failure. */
struct bytes read_span(struct reader *reader, size_t size);

/* Skip SIZE bytes, which must be zero: anything else fails the reader. */
void read_zeros(struct reader *reader, size_t size);

/* Nothing was read beyond the end. */
MUST_CHECK bool reader_ok(const struct reader *reader);

/* Nothing was read beyond the end, and all has been read. */
MUST_CHECK bool reader_finished(const struct reader *reader);

/* A writer fills a buffer of fixed capacity; what does not fit is dropped and remembered. */
struct writer {
	uint8_t *data;
	size_t capacity;
	size_t size;
	bool has_failed;
};

void writer_init(struct writer *writer, uint8_t *data, size_t capacity);
void write_u8(struct writer *writer, uint8_t value);
void write_le16(struct writer *writer, uint16_t value);
void write_le32(struct writer *writer, uint32_t value);
void write_le64(struct writer *writer, uint64_t value);
void write_bytes(struct writer *writer, const void *data, size_t size);
void write_span(struct writer *writer, struct bytes span);
void write_zeros(struct writer *writer, size_t size);

/* Everything fitted. */
MUST_CHECK bool writer_ok(const struct writer *writer);

/* What has been written so far. */
struct bytes writer_bytes(const struct writer *writer);

#endif
