/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of extended attributes and symlink targets: version 1 | DEK id 16 | nonce | ciphertext |
 * tag. Format: meta/FORMAT.md, sections 7 and 8.
 */
#ifndef SNAPCRYPT_META_FORMAT_SEALED_VALUE_H
#define SNAPCRYPT_META_FORMAT_SEALED_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define SEALED_VALUE_HEAD_SIZE      17
#define SEALED_VALUE_OVERHEAD       (SEALED_VALUE_HEAD_SIZE + 28)
#define SEALED_VALUE_OBJECT_ID_SIZE 16
#define SEALED_VALUE_NAME_MAX       255
#define SEALED_VALUE_AAD_MAX        (33 + SEALED_VALUE_NAME_MAX)

/* Limits of plain values, names and targets. */
#define XATTR_VALUE_MAX      (65536 - SEALED_VALUE_OVERHEAD)
#define XATTR_PLAIN_NAME_MAX 160
#define SYMLINK_TARGET_MAX   3026
#define SYMLINK_STORED_MAX   4095

enum sealed_value_kind { SEALED_VALUE_XATTR = 'x', SEALED_VALUE_SYMLINK = 's' };

/*
 * What a value belongs to.
 *
 *   object_id   16 bytes of the file's header; NULL for objects without one
 *   name        full plain name of the attribute, at most SEALED_VALUE_NAME_MAX; empty for targets
 */
struct sealed_value_place {
	const struct uuid *volume;
	enum sealed_value_kind kind;
	const uint8_t *object_id;
	struct bytes name;
};

/* Write what precedes the nonce. */
void sealed_value_encode_head(const struct uuid *dek, uint8_t head[static SEALED_VALUE_HEAD_SIZE]);

/*
 * Take a value apart.
 *
 *   ret_dek       the DEK that it is under
 *   ret_sealed    nonce | ciphertext | tag, inside VALUE
 *   reterr_fault  as in meta/format/fault.h
 *
 * -EBADMSG: too short or too long.  -ENOTSUP: another version.
 */
MUST_CHECK int sealed_value_decode(struct bytes value, struct uuid *ret_dek,
				   struct bytes *ret_sealed, const char **reterr_fault);

/* Write the additional authenticated data; returns its size. */
size_t sealed_value_aad(const struct sealed_value_place *place,
			uint8_t aad[static SEALED_VALUE_AAD_MAX]);

/* Length of the plain target of a symlink whose stored target has STORED_SIZE characters; 0 if none
 * has. */
size_t symlink_plain_size(size_t stored_size);

#endif
