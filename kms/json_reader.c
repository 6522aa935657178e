/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading JSON replies.
 *
 * json-c copies texts to ordinary memory.  They are wiped before they are freed, as is the buffer of its parser; what its
 * parser left behind while that buffer grew is not ours to reach.
 */
#include "kms/json_reader.h"

#include <errno.h>
#include <json-c/json.h>
#include <json-c/printbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/secret.h"
#include "meta/encoding.h"

#define DEPTH_MAX  16
#define SECRET_MAX ((size_t)64 * 1024)

struct json_reader {
	struct json_object *root;
};

static void wipe_texts(struct json_object *object)
{
	if (json_object_is_type(object, json_type_string)) {
		const char *text = json_object_get_string(object);

		secret_wipe((char *)(uintptr_t)text, (size_t)json_object_get_string_len(object));
	} else if (json_object_is_type(object, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(object); i++)
			wipe_texts(json_object_array_get_idx(object, i));
	} else if (json_object_is_type(object, json_type_object)) {
		json_object_object_foreach (object, name, value) {
			(void)name;
			wipe_texts(value);
		}
	}
}

void json_reader_free(struct json_reader *reader)
{
	if (!reader)
		return;
	/* DEPTH_MAX bounds the recursion. */
	wipe_texts(reader->root);
	json_object_put(reader->root);
	free(reader);
}

void json_reader_cleanup(struct json_reader **reader)
{
	json_reader_free(*reader);
}

static bool is_blank(struct bytes text, size_t offset)
{
	for (; offset < text.size; offset++)
		if (!strchr(" \t\r\n", text.data[offset]) || !text.data[offset])
			return false;
	return true;
}

static struct json_object *parse(struct bytes text)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	struct json_object *root;
	size_t end;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS |
						JSON_TOKENER_VALIDATE_UTF8);
	root = json_tokener_parse_ex(tokener, (const char *)text.data, (int)text.size);
	end = json_tokener_get_parse_end(tokener);
	secret_wipe(tokener->pb->buf, (size_t)tokener->pb->size);
	json_tokener_free(tokener);
	if (root && !is_blank(text, end)) {
		wipe_texts(root);
		json_object_put(root);
		return NULL;
	}
	return root;
}

int json_reader_parse(struct bytes text, struct json_reader **ret_reader)
{
	CLEANUP(json_reader_cleanup) struct json_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	if (!text.size || text.size > INT32_MAX)
		return -EPROTO;
	reader->root = parse(text);
	if (!json_object_is_type(reader->root, json_type_object))
		return -EPROTO;
	*ret_reader = TAKE(reader);
	return 0;
}

static struct json_object *step(struct json_object *object, const char *name)
{
	struct json_object *found = NULL;

	if (json_object_is_type(object, json_type_array)) {
		char *end;
		size_t index = strtoul(name, &end, 10);

		return *end || end == name ? NULL : json_object_array_get_idx(object, index);
	}
	if (json_object_is_type(object, json_type_object))
		(void)json_object_object_get_ex(object, name, &found);
	return found;
}

static struct json_object *find(const struct json_reader *reader, const char *path)
{
	struct json_object *object = reader ? reader->root : NULL;
	char name[64];

	while (object && *path) {
		size_t len = strcspn(path, ".");

		if (snprintf(name, sizeof(name), "%.*s", (int)len, path) >= (int)sizeof(name))
			return NULL;
		object = step(object, name);
		path += len;
		path += *path == '.';
	}
	return object;
}

bool json_reader_has(const struct json_reader *reader, const char *path)
{
	return find(reader, path) != NULL;
}

const char *json_reader_text(const struct json_reader *reader, const char *path)
{
	struct json_object *object = find(reader, path);
	const char *text;

	if (!json_object_is_type(object, json_type_string))
		return NULL;
	text = json_object_get_string(object);
	return strlen(text) == (size_t)json_object_get_string_len(object) ? text : NULL;
}

bool json_reader_copy_text(const struct json_reader *reader, const char *path, char *text,
			   size_t size)
{
	const char *found = json_reader_text(reader, path);

	if (!found || strlen(found) >= size)
		return false;
	memcpy(text, found, strlen(found) + 1);
	return true;
}

bool json_reader_number(const struct json_reader *reader, const char *path, int64_t *ret_number)
{
	struct json_object *object = find(reader, path);
	const char *text = json_reader_text(reader, path);

	if (json_object_is_type(object, json_type_int)) {
		*ret_number = json_object_get_int64(object);
		return true;
	}
	if (json_object_is_type(object, json_type_double)) {
		double value = json_object_get_double(object);

		if (!(value > -9e15 && value < 9e15))
			return false;
		*ret_number = (int64_t)value;
		return true;
	}
	if (text && *text) {
		char *end;
		long long value;

		errno = 0;
		value = strtoll(text, &end, 10);
		if (*end || errno)
			return false;
		*ret_number = value;
		return true;
	}
	return false;
}

bool json_reader_bool(const struct json_reader *reader, const char *path, bool *ret_value)
{
	struct json_object *object = find(reader, path);

	if (!json_object_is_type(object, json_type_boolean))
		return false;
	*ret_value = json_object_get_boolean(object);
	return true;
}

bool json_reader_is_true(const struct json_reader *reader, const char *path)
{
	bool value;

	return json_reader_bool(reader, path, &value) && value;
}

const char *json_reader_name(const struct json_reader *reader, const char *path, size_t index)
{
	struct json_object *object = find(reader, path);

	if (!json_object_is_type(object, json_type_object))
		return NULL;
	json_object_object_foreach (object, name, value) {
		(void)value;
		if (!index--)
			return name;
	}
	return NULL;
}

size_t json_reader_count(const struct json_reader *reader, const char *path)
{
	struct json_object *object = find(reader, path);

	return json_object_is_type(object, json_type_array) ? json_object_array_length(object) : 0;
}

ssize_t json_reader_bytes(const struct json_reader *reader, const char *path, enum json_base64 form,
			  uint8_t *data, size_t capacity)
{
	const char *text = json_reader_text(reader, path);
	ssize_t size;

	if (!text)
		return -EPROTO;
	size = form == JSON_BASE64 ? base64_decode(bytes_from_text(text), data, capacity)
				   : base64url_decode(bytes_from_text(text), data, capacity);
	return size < 0 ? -EPROTO : size;
}

int json_reader_secret(const struct json_reader *reader, const char *path, enum json_base64 form,
		       size_t size, struct secret **ret_secret)
{
	const char *text = json_reader_text(reader, path);
	size_t capacity = text ? strlen(text) / 4 * 3 + 3 : 0;
	CLEANUP(secret_free_cleanup) uint8_t *data = NULL;
	ssize_t decoded;

	if (!text || !*text || capacity > SECRET_MAX || (size && capacity > size + 5))
		return -EPROTO;
	data = secret_alloc(capacity);
	if (!data)
		return -ENOMEM;
	decoded = json_reader_bytes(reader, path, form, data, capacity);
	if (decoded <= 0 || (size && (size_t)decoded != size))
		return -EPROTO;
	return secret_copy((struct bytes){ data, (size_t)decoded }, ret_secret);
}

int json_reader_secret_text(const struct json_reader *reader, const char *path,
			    struct secret **ret_secret)
{
	const char *text = json_reader_text(reader, path);

	if (!text || !*text || strlen(text) > SECRET_MAX)
		return -EPROTO;
	return secret_copy(bytes_from_text(text), ret_secret);
}
