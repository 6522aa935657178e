/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing JSON requests into a buffer of fixed size, which may be secret memory.
 *
 * What does not fit is dropped and remembered: write all, then ask once with json_text_end().
 */
#ifndef SNAPCRYPT_KMS_JSON_TEXT_H
#define SNAPCRYPT_KMS_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"

struct json_text {
	char *data;
	size_t capacity;
	size_t size;
	bool has_failed;
	bool needs_comma;
};

/* Begins an object. */
void json_text_begin(struct json_text *json, char *buffer, size_t capacity);

/* Ends it.  The text without NUL, or no data: it did not fit. */
struct bytes json_text_end(struct json_text *json);

/* An object inside, its members, and its end. */
void json_text_open(struct json_text *json, const char *name);
void json_text_close(struct json_text *json);

void json_text_string(struct json_text *json, const char *name, const char *value);
void json_text_number(struct json_text *json, const char *name, int64_t value);
void json_text_bool(struct json_text *json, const char *name, bool value);
void json_text_base64(struct json_text *json, const char *name, struct bytes value);
void json_text_base64url(struct json_text *json, const char *name, struct bytes value);

#endif
