/* SPDX-License-Identifier: Apache-2.0 */
/* Test vectors written as hexadecimal text. */
#ifndef SNAPCRYPT_TESTS_UNIT_HEX_H
#define SNAPCRYPT_TESTS_UNIT_HEX_H

#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"

/* The bytes of TEXT, in BUFFER.  Fails the test when they do not fit. */
struct bytes hex_bytes(const char *text, uint8_t *buffer, size_t capacity);

/* DATA has the bytes of TEXT, else the test fails. */
void assert_hex(const uint8_t *data, size_t size, const char *text);

#endif
