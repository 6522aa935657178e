/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all records have in common: a file of two lines, the payload and its signature.  Format:
 * meta/FORMAT.md, "Records".
 *
 * Signing and verifying are the caller's, with kms/crypto/sign.h: meta/ holds no keys.
 */
#ifndef SNAPCRYPT_META_RECORDS_RECORD_H
#define SNAPCRYPT_META_RECORDS_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define RECORD_FORMAT          1
#define RECORD_SIZE_MAX        ((size_t)1 << 20)
#define RECORD_PUBLIC_KEY_SIZE 32
#define RECORD_SIGNATURE_SIZE  64
#define RECORD_MAC_SIZE        32

enum record_type {
	RECORD_VOLUME,
	RECORD_KEY,
	RECORD_IDENTITY,
	RECORD_SEAL,
	RECORD_TOMBSTONE,
	RECORD_LABELS,
};

/* As in the member `type`. */
const char *record_type_name(enum record_type type);

/* A whole record.  `line` is line 1 without its newline and points into the file's bytes. */
struct record {
	struct bytes line;
	uint8_t public_key[RECORD_PUBLIC_KEY_SIZE];
	uint8_t signature[RECORD_SIGNATURE_SIZE];
};

/* Take a record file apart.  -EBADMSG: not two lines, too large, or line 2 is malformed. */
MUST_CHECK int record_split(struct bytes file, struct record *ret_record);

/* The bytes that a signature covers; free() *ret_message.  -ENOMEM. */
MUST_CHECK int record_sign_input(struct bytes line, uint8_t **ret_message, size_t *ret_size);

/* The text of a record file; free() it.  -ENOMEM; -EFBIG: over RECORD_SIZE_MAX. */
MUST_CHECK int record_join(const char *line,
			   const uint8_t public_key[static RECORD_PUBLIC_KEY_SIZE],
			   const uint8_t signature[static RECORD_SIGNATURE_SIZE], char **ret_text);

/* Which type and volume a line 1 is of, before it is decoded.  -EBADMSG, -ENOTSUP (newer format). */
MUST_CHECK int record_peek(struct bytes line, enum record_type *ret_type, struct uuid *ret_volume);

#endif
