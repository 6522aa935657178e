/* SPDX-License-Identifier: Apache-2.0 */
/* JSON through json-c. */
#include "fs/document.h"

#include <assert.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "meta/encoding.h"
#include "meta/timestamp.h"

#define DEPTH_MAX  16
#define OUT_FORMAT (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

static void *need(void *memory)
{
	if (memory == NULL) {
		fputs("snapcrypt: out of memory\n", stderr);
		abort();
	}
	return memory;
}

struct json_object *document_new_object(void)
{
	return need(json_object_new_object());
}

struct json_object *document_new_array(void)
{
	return need(json_object_new_array());
}

void document_free(struct json_object *object)
{
	json_object_put(object);
}

void document_cleanup(struct json_object **object)
{
	json_object_put(*object);
	*object = NULL;
}

struct json_object *document_new_output(const char *schema)
{
	struct json_object *object = document_new_object();

	document_add_text(object, "schema", schema);
	return object;
}

struct json_object *document_share(struct json_object *object)
{
	return json_object_get(object);
}

void document_add(struct json_object *object, const char *name, struct json_object *child)
{
	if (json_object_object_add(object, name, child) != 0)
		need(NULL);
}

void document_remove(struct json_object *object, const char *name)
{
	json_object_object_del(object, name);
}

void document_append(struct json_object *array, struct json_object *child)
{
	if (json_object_array_add(array, child) != 0)
		need(NULL);
}

/* Length of the UTF-8 sequence at TEXT (RFC 3629), 0 if there is none. */
static size_t sequence_length(const unsigned char *text)
{
	static const struct {
		unsigned char low, high, next_low, next_high, length;
	} forms[] = {
		{ 0x01, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		size_t length = forms[i].length;

		if (text[0] < forms[i].low || text[0] > forms[i].high)
			continue;
		if (length > 1 && (text[1] < forms[i].next_low || text[1] > forms[i].next_high))
			return 0;
		for (size_t k = 2; k < length; k++)
			if (text[k] < 0x80 || text[k] > 0xbf)
				return 0;
		return length;
	}
	return 0;
}

/* TEXT with every byte that is no UTF-8 replaced by U+FFFD; free() it. */
static char *replace_bad_bytes(const char *text, bool *ret_has_bad)
{
	char *clean = need(malloc(strlen(text) * 3 + 1));
	size_t used = 0;

	*ret_has_bad = false;
	while (*text != '\0') {
		const size_t length = sequence_length((const unsigned char *)text);

		if (length == 0) {
			memcpy(clean + used, "\xef\xbf\xbd", 3);
			used += 3;
			text++;
			*ret_has_bad = true;
			continue;
		}
		memcpy(clean + used, text, length);
		used += length;
		text += length;
	}
	clean[used] = '\0';
	return clean;
}

static struct json_object *new_text(const char *text)
{
	bool has_bad = false;
	char *clean = replace_bad_bytes(text, &has_bad);
	struct json_object *string = need(json_object_new_string(clean));

	free(clean);
	return string;
}

void document_add_text(struct json_object *object, const char *name, const char *text)
{
	document_add(object, name, text == NULL ? NULL : new_text(text));
}

void document_append_text(struct json_object *array, const char *text)
{
	document_append(array, new_text(text));
}

void document_add_path(struct json_object *object, const char *name, const char *path)
{
	bool has_bad = false;
	char *clean = NULL;

	document_add_text(object, name, path);
	if (path == NULL)
		return;
	clean = replace_bad_bytes(path, &has_bad);
	free(clean);
	if (has_bad) {
		char *exact = need(malloc(BASE64URL_TEXT_SIZE(strlen(path))));
		char *exact_name = need(malloc(strlen(name) + sizeof("_b64")));

		base64url_encode(bytes_from_text(path), exact);
		strcpy(exact_name, name);
		strcat(exact_name, "_b64");
		document_add_text(object, exact_name, exact);
		free(exact);
		free(exact_name);
	}
}

void document_add_uuid(struct json_object *object, const char *name, const struct uuid *uuid)
{
	char text[UUID_TEXT_SIZE];

	if (uuid == NULL) {
		document_add_null(object, name);
		return;
	}
	uuid_format(uuid, text);
	document_add_text(object, name, text);
}

void document_add_time(struct json_object *object, const char *name, int64_t time_s)
{
	char text[TIMESTAMP_TEXT_SIZE];

	document_add_text(object, name,
			  time_s != 0 && timestamp_format(time_s, text) == 0 ? text : NULL);
}

void document_add_number(struct json_object *object, const char *name, uint64_t number)
{
	document_add(object, name, need(json_object_new_uint64(number)));
}

void document_add_bool(struct json_object *object, const char *name, bool value)
{
	document_add(object, name, need(json_object_new_boolean(value)));
}

void document_add_null(struct json_object *object, const char *name)
{
	document_add(object, name, NULL);
}

struct json_object *document_member(const struct json_object *object, const char *name)
{
	struct json_object *member = NULL;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, name, &member))
		return NULL;
	return member;
}

const char *document_text(const struct json_object *object, const char *name)
{
	struct json_object *member = document_member(object, name);

	return json_object_is_type(member, json_type_string) ? json_object_get_string(member)
							     : NULL;
}

uint64_t document_number(const struct json_object *object, const char *name)
{
	struct json_object *member = document_member(object, name);

	return json_object_is_type(member, json_type_int) ? json_object_get_uint64(member) : 0;
}

bool document_is_true(const struct json_object *object, const char *name)
{
	struct json_object *member = document_member(object, name);

	return json_object_is_type(member, json_type_boolean) && json_object_get_boolean(member);
}

size_t document_length(const struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

struct json_object *document_element(const struct json_object *array, size_t index)
{
	return index < document_length(array) ? json_object_array_get_idx(array, index) : NULL;
}

const char *document_element_text(const struct json_object *array, size_t index)
{
	struct json_object *element = document_element(array, index);

	return json_object_is_type(element, json_type_string) ? json_object_get_string(element)
							      : NULL;
}

struct json_object *document_read(const char *text, size_t size)
{
	struct json_tokener *tokener = need(json_tokener_new_ex(DEPTH_MAX));
	struct json_object *object = NULL;

	if (size <= INT32_MAX)
		object = json_tokener_parse_ex(tokener, text, (int)size);
	if (object != NULL && (json_tokener_get_error(tokener) != json_tokener_success ||
			       json_tokener_get_parse_end(tokener) != size ||
			       !json_object_is_type(object, json_type_object))) {
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

const char *document_line(struct json_object *object)
{
	return need((void *)(uintptr_t)json_object_to_json_string_ext(object, OUT_FORMAT));
}

void document_print(struct json_object *object, FILE *stream)
{
	const char *text = json_object_to_json_string_ext(
		object,
		JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);

	fprintf(stream, "%s\n", (const char *)need((void *)(uintptr_t)text));
}
