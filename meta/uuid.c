/* SPDX-License-Identifier: Apache-2.0 */
/* UUIDs: 16 raw bytes in binary structures, 36 lower-case characters in text. */
#include "meta/uuid.h"

#include <errno.h>
#include <string.h>

#include "meta/bytes.h"

/* A dash stands before these bytes. */
static bool has_dash_before(size_t index)
{
	return index == 4 || index == 6 || index == 8 || index == 10;
}

void uuid_format(const struct uuid *uuid, char text[static UUID_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	char *next = text;

	for (size_t i = 0; i < UUID_SIZE; i++) {
		if (has_dash_before(i))
			*next++ = '-';
		*next++ = digits[uuid->bytes[i] >> 4];
		*next++ = digits[uuid->bytes[i] & 15];
	}
	*next = '\0';
}

static int digit_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	return -1;
}

int uuid_parse(const char *text, struct uuid *ret_uuid)
{
	struct uuid uuid;
	const char *next = text;

	for (size_t i = 0; i < UUID_SIZE; i++) {
		if (has_dash_before(i) && *next++ != '-')
			return -EBADMSG;

		int high = digit_value(next[0]);
		int low = high < 0 ? -1 : digit_value(next[1]);

		if (low < 0)
			return -EBADMSG;
		uuid.bytes[i] = (uint8_t)(high << 4 | low);
		next += 2;
	}
	if (*next != '\0')
		return -EBADMSG;
	*ret_uuid = uuid;
	return 0;
}

bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, UUID_SIZE) == 0;
}

bool uuid_is_zero(const struct uuid *uuid)
{
	return bytes_are_zero((struct bytes){ uuid->bytes, UUID_SIZE });
}

int uuid_compare(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, UUID_SIZE);
}
