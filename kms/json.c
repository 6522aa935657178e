/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON replies. */
#include "kms/json.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#include "kms/crypto/secret.h"

#define PATH_MAX_SIZE 128

/* struct json is json-c's object under our name: no other file sees json-c. */
static struct json_object *object_of(const struct json *value)
{
	return (struct json_object *)(uintptr_t)value;
}

static const struct json *json_of(const struct json_object *object)
{
	return (const struct json *)object;
}

/* White space is all that may follow. */
static bool is_finished(struct bytes text, size_t end)
{
	for (; end < text.size; end++)
		if (!memchr(" \t\r\n", text.data[end], 4))
			return false;
	return true;
}

int json_parse(struct bytes text, struct json **ret_root)
{
	struct json_tokener *tokener;
	struct json_object *root;
	bool is_good;

	if (!text.size || text.size > INT32_MAX)
		return -EBADMSG;
	tokener = json_tokener_new_ex(JSON_DEPTH_MAX);
	if (!tokener)
		return -ENOMEM;
	root = json_tokener_parse_ex(tokener, (const char *)text.data, (int)text.size);
	is_good = root && json_tokener_get_error(tokener) == json_tokener_success &&
		  is_finished(text, json_tokener_get_parse_end(tokener));
	json_tokener_free(tokener);
	if (!is_good) {
		json_object_put(root);
		return -EBADMSG;
	}
	*ret_root = (struct json *)root;
	return 0;
}

/* Strings are where secrets are; JSON_DEPTH_MAX bounds the recursion. */
static void wipe(struct json_object *object)
{
	switch (json_object_get_type(object)) {
	case json_type_string:
		secret_wipe((void *)(uintptr_t)json_object_get_string(object),
			    (size_t)json_object_get_string_len(object));
		break;
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(object); i++)
			wipe(json_object_array_get_idx(object, i));
		break;
	case json_type_object: {
		struct json_object_iterator end = json_object_iter_end(object);

		for (struct json_object_iterator at = json_object_iter_begin(object);
		     !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
			wipe(json_object_iter_peek_value(&at));
		break;
	}
	default:
		break;
	}
}

void json_free(struct json *root)
{
	if (!root)
		return;
	wipe(object_of(root));
	json_object_put(object_of(root));
}

void json_cleanup(struct json **root)
{
	json_free(*root);
}

const struct json *json_get(const struct json *value, const char *path)
{
	struct json_object *object = object_of(value);

	while (path && *path) {
		char name[PATH_MAX_SIZE];
		size_t len = strcspn(path, ".");

		if (!json_object_is_type(object, json_type_object) || len >= sizeof(name))
			return NULL;
		memcpy(name, path, len);
		name[len] = 0;
		if (!json_object_object_get_ex(object, name, &object))
			return NULL;
		path += len + (path[len] == '.');
	}
	return json_of(object);
}

const char *json_text(const struct json *value, const char *path)
{
	struct json_object *object = object_of(json_get(value, path));
	const char *text;

	if (!json_object_is_type(object, json_type_string))
		return NULL;
	text = json_object_get_string(object);
	return strlen(text) == (size_t)json_object_get_string_len(object) ? text : NULL;
}

static bool parse_number(const char *text, int64_t *ret_number)
{
	bool is_negative = *text == '-';
	int64_t number = 0;

	text += is_negative;
	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, *text - '0', &number))
			return false;
	}
	*ret_number = is_negative ? -number : number;
	return true;
}

bool json_number(const struct json *value, const char *path, int64_t *ret_number)
{
	struct json_object *object = object_of(json_get(value, path));
	const char *text;

	if (json_object_is_type(object, json_type_int)) {
		*ret_number = json_object_get_int64(object);
		return true;
	}
	text = json_text(value, path);
	return text && parse_number(text, ret_number);
}

bool json_truth(const struct json *value, const char *path, bool fallback)
{
	struct json_object *object = object_of(json_get(value, path));

	return json_object_is_type(object, json_type_boolean) ? json_object_get_boolean(object)
							      : fallback;
}

size_t json_count(const struct json *value, const char *path)
{
	struct json_object *object = object_of(json_get(value, path));

	return json_object_is_type(object, json_type_array) ? json_object_array_length(object) : 0;
}

const struct json *json_element(const struct json *value, const char *path, size_t index)
{
	if (index >= json_count(value, path))
		return NULL;
	return json_of(json_object_array_get_idx(object_of(json_get(value, path)), index));
}

const char *json_member_name(const struct json *value, const char *path, size_t index)
{
	struct json_object *object = object_of(json_get(value, path));
	struct json_object_iterator at, end;

	if (!json_object_is_type(object, json_type_object))
		return NULL;
	at = json_object_iter_begin(object);
	end = json_object_iter_end(object);
	for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
		if (!index--)
			return json_object_iter_peek_name(&at);
	return NULL;
}
