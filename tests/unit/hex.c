/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/hex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "meta/encoding.h"

struct bytes hex_bytes(const char *text, uint8_t *buffer, size_t capacity)
{
	ssize_t size = hex_decode(bytes_from_text(text), buffer, capacity);

	assert_true(size >= 0);
	return (struct bytes){ buffer, (size_t)size };
}

void assert_hex(const uint8_t *data, size_t size, const char *text)
{
	char *own = malloc(HEX_TEXT_SIZE(size));

	assert_non_null(own);
	hex_encode((struct bytes){ data, size }, own);
	assert_string_equal(own, text);
	free(own);
}
