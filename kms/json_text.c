/* SPDX-License-Identifier: Apache-2.0 */
/* Writing JSON requests. */
#include "kms/json_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "meta/encoding.h"

static void put(struct json_text *json, const char *text, size_t size)
{
	if (json->has_failed || size > json->capacity - json->size) {
		json->has_failed = true;
		return;
	}
	memcpy(json->data + json->size, text, size);
	json->size += size;
}

static void put_quoted(struct json_text *json, const char *text)
{
	put(json, "\"", 1);
	for (; *text; text++) {
		char escaped[8];

		if (*text == '"' || *text == '\\') {
			put(json, "\\", 1);
			put(json, text, 1);
		} else if ((unsigned char)*text < 0x20) {
			(void)snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned)*text);
			put(json, escaped, 6);
		} else {
			put(json, text, 1);
		}
	}
	put(json, "\"", 1);
}

static void put_name(struct json_text *json, const char *name)
{
	if (json->needs_comma)
		put(json, ",", 1);
	put_quoted(json, name);
	put(json, ":", 1);
	json->needs_comma = true;
}

void json_text_begin(struct json_text *json, char *buffer, size_t capacity)
{
	*json = (struct json_text){ .data = buffer, .capacity = capacity };
	put(json, "{", 1);
}

struct bytes json_text_end(struct json_text *json)
{
	put(json, "}", 1);
	return json->has_failed ? (struct bytes){ NULL, 0 }
				: (struct bytes){ (const uint8_t *)json->data, json->size };
}

void json_text_open(struct json_text *json, const char *name)
{
	put_name(json, name);
	put(json, "{", 1);
	json->needs_comma = false;
}

void json_text_close(struct json_text *json)
{
	put(json, "}", 1);
	json->needs_comma = true;
}

void json_text_string(struct json_text *json, const char *name, const char *value)
{
	put_name(json, name);
	put_quoted(json, value);
}

void json_text_number(struct json_text *json, const char *name, int64_t value)
{
	char text[24];

	put_name(json, name);
	put(json, text, (size_t)snprintf(text, sizeof(text), "%" PRId64, value));
}

void json_text_bool(struct json_text *json, const char *name, bool value)
{
	put_name(json, name);
	put(json, value ? "true" : "false", value ? 4 : 5);
}

/* Encoded in place: the value may be a secret, and the buffer secret memory. */
static void put_encoded(struct json_text *json, const char *name, struct bytes value,
			size_t text_size, void (*encode)(struct bytes data, char *text))
{
	put_name(json, name);
	put(json, "\"", 1);
	/* text_size counts the NUL, on which the closing quote goes. */
	if (json->has_failed || text_size > json->capacity - json->size) {
		json->has_failed = true;
		return;
	}
	encode(value, json->data + json->size);
	json->size += strlen(json->data + json->size);
	put(json, "\"", 1);
}

void json_text_base64(struct json_text *json, const char *name, struct bytes value)
{
	put_encoded(json, name, value, BASE64_TEXT_SIZE(value.size), base64_encode);
}

void json_text_base64url(struct json_text *json, const char *name, struct bytes value)
{
	put_encoded(json, name, value, BASE64URL_TEXT_SIZE(value.size), base64url_encode);
}
