/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows, and is wiped. */
#include "kms/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/secret.h"
#include "meta/encoding.h"

#define CAPACITY_MIN 512
#define FORMAT_MAX   2048

void text_free(struct text *text)
{
	if (text->data)
		secret_wipe(text->data, text->capacity);
	free(text->data);
	*text = (struct text){ 0 };
}

/* Room for SIZE more bytes and a NUL.  realloc() would leave a copy behind. */
static bool reserve(struct text *text, size_t size)
{
	size_t needed = text->size + size + 1;
	size_t capacity = text->capacity ? text->capacity : CAPACITY_MIN;
	char *data;

	if (text->has_failed || size > TEXT_MAX || needed > TEXT_MAX) {
		text->has_failed = true;
		return false;
	}
	if (needed <= text->capacity)
		return true;
	while (capacity < needed)
		capacity *= 2;
	data = calloc(1, capacity);
	if (!data) {
		text->has_failed = true;
		return false;
	}
	if (text->data) {
		memcpy(data, text->data, text->size);
		secret_wipe(text->data, text->capacity);
		free(text->data);
	}
	text->data = data;
	text->capacity = capacity;
	return true;
}

void text_add_bytes(struct text *text, struct bytes piece)
{
	if (!reserve(text, piece.size))
		return;
	if (piece.size)
		memcpy(text->data + text->size, piece.data, piece.size);
	text->size += piece.size;
	text->data[text->size] = 0;
}

void text_add(struct text *text, const char *piece)
{
	text_add_bytes(text, bytes_from_text(piece));
}

void text_add_format(struct text *text, const char *format, ...)
{
	char piece[FORMAT_MAX];
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(piece, sizeof(piece), format, arguments);
	va_end(arguments);
	if (size < 0 || size >= FORMAT_MAX)
		text->has_failed = true;
	else
		text_add_bytes(text, (struct bytes){ (const uint8_t *)piece, (size_t)size });
}

void text_add_json(struct text *text, const char *value)
{
	text_add(text, "\"");
	for (const char *c = value; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == '"' || *c == '\\')
			text_add_format(text, "\\u%04x", (unsigned char)*c);
		else
			text_add_bytes(text, (struct bytes){ (const uint8_t *)c, 1 });
	}
	text_add(text, "\"");
}

static bool is_unreserved(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

void text_add_escaped(struct text *text, struct bytes value)
{
	for (size_t i = 0; i < value.size; i++) {
		if (is_unreserved(value.data[i]))
			text_add_bytes(text, (struct bytes){ value.data + i, 1 });
		else
			text_add_format(text, "%%%02X", value.data[i]);
	}
}

void text_add_field(struct text *text, const char *name, struct bytes value)
{
	if (text->size)
		text_add(text, "&");
	text_add(text, name);
	text_add(text, "=");
	text_add_escaped(text, value);
}

void text_add_base64(struct text *text, struct bytes value)
{
	size_t size = BASE64_TEXT_SIZE(value.size) - 1;

	if (!reserve(text, size))
		return;
	base64_encode(value, text->data + text->size);
	text->size += size;
}

void text_add_base64url(struct text *text, struct bytes value)
{
	size_t size = BASE64URL_TEXT_SIZE(value.size) - 1;

	if (!reserve(text, size))
		return;
	base64url_encode(value, text->data + text->size);
	text->size += size;
}

struct bytes text_bytes(const struct text *text)
{
	return (struct bytes){ (const uint8_t *)text->data, text->size };
}

int text_check(const struct text *text)
{
	return text->has_failed ? -ENOMEM : 0;
}
