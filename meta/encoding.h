/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text forms of bytes, and CRC-32C.
 *
 * Decoders are strict, so that one value has one text: no white space, no other alphabet, no
 * missing or superfluous padding, no set bits after the last byte.  They return the number of
 * bytes, -EBADMSG for malformed text, or -ENOBUFS where the value does not fit.  Encoders end their
 * text with a NUL.
 */
#ifndef SNAPCRYPT_META_ENCODING_H
#define SNAPCRYPT_META_ENCODING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "meta/bytes.h"
#include "meta/macros.h"

/* Sizes of the texts of SIZE bytes, with the NUL. */
#define HEX_TEXT_SIZE(size)       ((size_t)(size)*2 + 1)
#define BASE64_TEXT_SIZE(size)    (((size_t)(size) + 2) / 3 * 4 + 1)
#define BASE64URL_TEXT_SIZE(size) (((size_t)(size)*4 + 2) / 3 + 1)

/* Lower case. */
void hex_encode(struct bytes data, char *text);

/* Either case. */
MUST_CHECK ssize_t hex_decode(struct bytes text, uint8_t *data, size_t capacity);

/* RFC 4648 section 4, padded. */
void base64_encode(struct bytes data, char *text);
MUST_CHECK ssize_t base64_decode(struct bytes text, uint8_t *data, size_t capacity);

/* RFC 4648 section 5, without padding. */
void base64url_encode(struct bytes data, char *text);
MUST_CHECK ssize_t base64url_decode(struct bytes text, uint8_t *data, size_t capacity);

/* TEXT is the base64url form of exactly SIZE bytes: 0, else -EBADMSG. */
MUST_CHECK int base64url_decode_exact(const char *text, uint8_t *data, size_t size);

/* CRC-32C (Castagnoli) of DATA, continuing CRC; begin with 0. */
uint32_t crc32c(uint32_t crc, struct bytes data);

#endif
