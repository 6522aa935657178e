/* SPDX-License-Identifier: Apache-2.0 */
/* UUIDs: 16 raw bytes in binary structures, 36 lower-case characters in text. */
#ifndef SNAPCRYPT_META_UUID_H
#define SNAPCRYPT_META_UUID_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/macros.h"

#define UUID_SIZE      16
#define UUID_TEXT_SIZE 37 /* with the NUL */

struct uuid {
	uint8_t bytes[UUID_SIZE];
};

void uuid_format(const struct uuid *uuid, char text[static UUID_TEXT_SIZE]);

/* Only the canonical form: 8-4-4-4-12 lower-case digits and nothing else.  0, else -EBADMSG. */
MUST_CHECK int uuid_parse(const char *text, struct uuid *ret_uuid);

bool uuid_equal(const struct uuid *a, const struct uuid *b);
bool uuid_is_zero(const struct uuid *uuid);

/* Like memcmp, for sorted arrays. */
int uuid_compare(const struct uuid *a, const struct uuid *b);

#endif
