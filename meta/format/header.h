/* SPDX-License-Identifier: Apache-2.0 */
/* The header of a backing file.  Format: meta/FORMAT.md, "File header". */
#ifndef SNAPCRYPT_META_FORMAT_HEADER_H
#define SNAPCRYPT_META_FORMAT_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/format/layout.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define HEADER_SIZE            LAYOUT_HEADER_SIZE
#define HEADER_MAGIC_SIZE      8
#define HEADER_MAC_OFFSET      96
#define HEADER_MAC_SIZE        32
#define HEADER_OBJECT_ID_SIZE  16
#define HEADER_CONTENT_ID_SIZE 24

/* Where the ids are, for who compares them without decoding. */
#define HEADER_DEK_OFFSET        32
#define HEADER_OBJECT_ID_OFFSET  48
#define HEADER_CONTENT_ID_OFFSET 64

struct header {
	uint8_t algorithm;
	uint8_t block_size_log2;
	bool is_sparse;
	struct uuid volume;
	struct uuid dek;
	uint8_t object_id[HEADER_OBJECT_ID_SIZE];
	uint8_t content_id[HEADER_CONTENT_ID_SIZE];
};

/* What every header of a volume says. */
struct header_expectation {
	struct uuid volume;
	uint8_t algorithm;
	uint8_t block_size_log2;
};

/* Do the first bytes of a file say that it is one of ours? */
bool header_has_magic(const uint8_t data[static HEADER_MAGIC_SIZE]);

/* Write the 96 bytes before the MAC, and zeros in its place: the caller puts it at
 * header_mac_slot(). */
void header_encode(const struct header *header, uint8_t data[static HEADER_SIZE]);

static inline uint8_t *header_mac_slot(uint8_t data[static HEADER_SIZE])
{
	return data + HEADER_MAC_OFFSET;
}

/* What the MAC covers, and the MAC as stored. */
static inline struct bytes header_mac_input(const uint8_t data[static HEADER_SIZE])
{
	return (struct bytes){ data, HEADER_MAC_OFFSET };
}

static inline const uint8_t *header_mac(const uint8_t data[static HEADER_SIZE])
{
	return data + HEADER_MAC_OFFSET;
}

/*
 * Read a header.  The MAC is not checked: the caller does that, under the DEK that it names.
 *
 *   data          the beginning of the file; more than HEADER_SIZE bytes are ignored
 *   expected      what the volume says
 *   reterr_fault  a word for the log, static ("short", "bad-magic" ...); may be NULL
 *
 * -EBADMSG: malformed or another volume's.  -ENOTSUP: version, algorithm or flags that this version
 * does not know.
 */
MUST_CHECK int header_decode(struct bytes data, const struct header_expectation *expected,
			     struct header *ret_header, const char **reterr_fault);

#endif
