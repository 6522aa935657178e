/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tag, type, length, value: the encoding of KMIP (OASIS KMIP Specification 1.4, section 9.1).  Pure functions, bounded in
 * size and depth; a value is padded to 8 bytes, and what the padding holds is not looked at.
 */
#ifndef SNAPCRYPT_KMS_TTLV_H
#define SNAPCRYPT_KMS_TTLV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"

#define TTLV_HEADER_SIZE 8
#define TTLV_DEPTH_MAX   12

enum ttlv_type {
	TTLV_STRUCTURE = 1,
	TTLV_INTEGER = 2,
	TTLV_LONG_INTEGER = 3,
	TTLV_BIG_INTEGER = 4,
	TTLV_ENUMERATION = 5,
	TTLV_BOOLEAN = 6,
	TTLV_TEXT = 7,
	TTLV_BYTES = 8,
	TTLV_DATE_TIME = 9,
	TTLV_INTERVAL = 10,
};

/* Fills a buffer; what does not fit is dropped and remembered.  Zero-initialise with data and capacity. */
struct ttlv_writer {
	uint8_t *data;
	size_t capacity;
	size_t size;
	size_t open[TTLV_DEPTH_MAX];
	unsigned depth;
	bool has_failed;
};

void ttlv_begin(struct ttlv_writer *writer, uint32_t tag);
void ttlv_end(struct ttlv_writer *writer);
void ttlv_write_integer(struct ttlv_writer *writer, uint32_t tag, uint32_t value);
void ttlv_write_enumeration(struct ttlv_writer *writer, uint32_t tag, uint32_t value);
void ttlv_write_text(struct ttlv_writer *writer, uint32_t tag, const char *value);
void ttlv_write_bytes(struct ttlv_writer *writer, uint32_t tag, struct bytes value);

/* As text, from memory that is wiped. */
void ttlv_write_text_bytes(struct ttlv_writer *writer, uint32_t tag, struct bytes value);

/* All of it; -ENOBUFS: it did not fit.  Every structure must have ended. */
MUST_CHECK int ttlv_finish(const struct ttlv_writer *writer, struct bytes *ret_message);

/* Size of the message that begins with these bytes, its header included; 0: beyond MAX, or no structure. */
size_t ttlv_message_size(const uint8_t header[static TTLV_HEADER_SIZE], size_t max);

/* One item.  Borrowed from the message. */
struct ttlv_item {
	uint32_t tag;
	enum ttlv_type type;
	struct bytes value; /* without padding */
};

/*
 * Check a whole message: one structure with tag TAG, well-formed to its leaves.  -EBADMSG.  The functions below are for what
 * is inside of a message that was checked.
 */
MUST_CHECK int ttlv_check(struct bytes message, uint32_t tag, struct ttlv_item *ret_structure);

/* The next item of a structure's value; false: there is none.  Begin with REST = the value. */
bool ttlv_next(struct bytes *rest, struct ttlv_item *ret_item);

/* The first item with that tag and type directly inside. */
bool ttlv_find(struct bytes structure, uint32_t tag, enum ttlv_type type,
	       struct ttlv_item *ret_item);

/* Integers, enumerations, date-times; 0: not there. */
int64_t ttlv_number(struct bytes structure, uint32_t tag, enum ttlv_type type);

/* Value of an item of such a type. */
int64_t ttlv_value(const struct ttlv_item *item);

#endif
