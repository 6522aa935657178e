/* SPDX-License-Identifier: Apache-2.0 */
/* Members of records: strict reading, and writing on one line. */
#include "meta/records/fields.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/encoding.h"
#include "meta/records/record.h"
#include "meta/timestamp.h"

/* Records nest no deeper than slots and their headers. */
#define DEPTH_MAX 8

#define NAME_TEXT_MAX 64

void fields_fail(struct fields *fields, int error)
{
	if (!fields->error)
		fields->error = error;
}

/* Members of all objects in a value. */
static size_t count_members(struct json_object *value)
{
	size_t count = 0;

	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach (value, name, inner) {
			(void)name;
			count += 1 + count_members(inner);
		}
	} else if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			count += count_members(json_object_array_get_idx(value, i));
	}
	return count;
}

/* Colons outside of strings: one for each member, in well-formed text. */
static size_t count_colons(struct bytes text)
{
	bool is_in_string = false;
	size_t count = 0;

	for (size_t i = 0; i < text.size; i++) {
		if (is_in_string && text.data[i] == '\\')
			i++;
		else if (text.data[i] == '"')
			is_in_string = !is_in_string;
		else if (text.data[i] == ':' && !is_in_string)
			count++;
	}
	return count;
}

void fields_parse(struct fields *fields, struct bytes text)
{
	struct json_tokener *tokener = NULL;

	*fields = (struct fields){ .is_owner = true };
	if (text.size == 0 || text.size > RECORD_SIZE_MAX || memchr(text.data, 0, text.size)) {
		fields->error = -EBADMSG;
		return;
	}
	tokener = json_tokener_new_ex(DEPTH_MAX);
	if (!tokener) {
		fields->error = -ENOMEM;
		return;
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	fields->object = json_tokener_parse_ex(tokener, (const char *)text.data, (int)text.size);
	/* Of two members with one name, readers may take either: neither counts. */
	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    json_tokener_get_parse_end(tokener) != text.size ||
	    !json_object_is_type(fields->object, json_type_object) ||
	    count_members(fields->object) != count_colons(text))
		fields->error = -EBADMSG;
	json_tokener_free(tokener);
}

static struct json_object *member(struct fields *fields, const char *name, enum json_type type)
{
	struct json_object *value = NULL;

	if (fields->error)
		return NULL;
	if (!json_object_object_get_ex(fields->object, name, &value) ||
	    !json_object_is_type(value, type)) {
		fields_fail(fields, -EBADMSG);
		return NULL;
	}
	return value;
}

/* NULL where it is no string or holds a NUL. */
static const char *string_of(struct json_object *value, size_t max)
{
	const char *text;
	size_t len;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	text = json_object_get_string(value);
	len = (size_t)json_object_get_string_len(value);
	return len <= max && !memchr(text, 0, len) ? text : NULL;
}

static const char *member_text(struct fields *fields, const char *name, size_t max)
{
	struct json_object *value = member(fields, name, json_type_string);
	const char *text = value ? string_of(value, max) : NULL;

	if (!text)
		fields_fail(fields, -EBADMSG);
	return text;
}

void fields_object(struct fields *parent, const char *name, struct fields *ret_fields)
{
	struct json_object *value = member(parent, name, json_type_object);

	*ret_fields = (struct fields){ .object = value, .error = parent->error };
}

static bool is_known(const char *name, const char *const *known)
{
	for (; *known; known++) {
		if (strcmp(name, *known) == 0)
			return true;
	}
	return false;
}

static void expect_critical(struct fields *fields, const char *const *known)
{
	struct json_object *array;

	if (fields->error || !fields_has(fields, "critical"))
		return;
	array = fields_array(fields, "critical", 64);
	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		const char *name = string_of(json_object_array_get_idx(array, i), NAME_TEXT_MAX);

		if (!name)
			fields_fail(fields, -EBADMSG);
		else if (!is_known(name, known))
			fields_fail(fields, -ENOTSUP);
	}
}

void fields_expect_format(struct fields *fields, const char *const *known)
{
	if (fields_number(fields, "format", 1, FIELDS_NUMBER_MAX) > RECORD_FORMAT)
		fields_fail(fields, -ENOTSUP);
	expect_critical(fields, known);
}

void fields_expect(struct fields *fields, const char *type, const char *const *known)
{
	const char *stored = member_text(fields, "type", NAME_TEXT_MAX);

	if (stored && strcmp(stored, type) != 0)
		fields_fail(fields, -EBADMSG);
	fields_expect_format(fields, known);
}

void fields_cleanup(struct fields *fields)
{
	if (fields->is_owner)
		json_object_put(fields->object);
	fields->object = NULL;
}

int fields_end(struct fields *fields)
{
	fields_cleanup(fields);
	return fields->error;
}

bool fields_has(const struct fields *fields, const char *name)
{
	return !fields->error && json_object_object_get_ex(fields->object, name, NULL);
}

uint64_t fields_number(struct fields *fields, const char *name, uint64_t min, uint64_t max)
{
	struct json_object *value = member(fields, name, json_type_int);
	int64_t number = value ? json_object_get_int64(value) : -1;

	if (number < 0 || (uint64_t)number < min || (uint64_t)number > max ||
	    (uint64_t)number > FIELDS_NUMBER_MAX) {
		fields_fail(fields, -EBADMSG);
		return 0;
	}
	return (uint64_t)number;
}

void fields_uuid(struct fields *fields, const char *name, struct uuid *ret_uuid)
{
	const char *text = member_text(fields, name, UUID_TEXT_SIZE);

	memset(ret_uuid, 0, sizeof(*ret_uuid));
	if (text && uuid_parse(text, ret_uuid) < 0)
		fields_fail(fields, -EBADMSG);
}

int64_t fields_time(struct fields *fields, const char *name)
{
	const char *text = member_text(fields, name, TIMESTAMP_TEXT_SIZE);
	int64_t time_s = 0;

	if (text && timestamp_parse_s(text, &time_s) < 0) {
		fields_fail(fields, -EBADMSG);
		return 0;
	}
	return time_s;
}

void fields_bytes(struct fields *fields, const char *name, uint8_t *data, size_t size)
{
	const char *text = member_text(fields, name, BASE64URL_TEXT_SIZE(size));

	memset(data, 0, size);
	if (text && base64url_decode_exact(text, data, size) < 0)
		fields_fail(fields, -EBADMSG);
}

size_t fields_bytes_upto(struct fields *fields, const char *name, uint8_t *data, size_t capacity)
{
	const char *text = member_text(fields, name, BASE64URL_TEXT_SIZE(capacity));
	ssize_t size = text ? base64url_decode(bytes_from_text(text), data, capacity) : -EBADMSG;

	if (size < 0) {
		fields_fail(fields, -EBADMSG);
		return 0;
	}
	return (size_t)size;
}

void fields_text(struct fields *fields, const char *name, char *text, size_t size)
{
	const char *value = member_text(fields, name, size - 1);

	memset(text, 0, size);
	if (value)
		memcpy(text, value, strlen(value));
}

char *fields_text_dup(struct fields *fields, const char *name, size_t max)
{
	const char *value = member_text(fields, name, max);
	char *text = value ? strdup(value) : NULL;

	if (value && !text)
		fields_fail(fields, -ENOMEM);
	return text;
}

char *fields_name_dup(struct fields *fields, const char *name, size_t max)
{
	char encoded[NAME_TEXT_MAX];
	char *data;
	size_t size;

	if (fields_has(fields, name))
		return fields_text_dup(fields, name, max);
	strcpy(stpncpy(encoded, name, sizeof(encoded) - 5), "_b64");
	data = calloc(1, max + 1);
	if (!data) {
		fields_fail(fields, -ENOMEM);
		return NULL;
	}
	size = fields_bytes_upto(fields, encoded, (uint8_t *)data, max);
	if (memchr(data, 0, size))
		fields_fail(fields, -EBADMSG);
	if (fields->error) {
		free(data);
		return NULL;
	}
	return data;
}

unsigned fields_word(struct fields *fields, const char *name, const char *const *words,
		     size_t word_count)
{
	const char *text = member_text(fields, name, NAME_TEXT_MAX);

	for (size_t i = 0; text && i < word_count; i++) {
		if (strcmp(text, words[i]) == 0)
			return (unsigned)i;
	}
	fields_fail(fields, -EBADMSG);
	return 0;
}

struct json_object *fields_array(struct fields *fields, const char *name, size_t max)
{
	struct json_object *array = member(fields, name, json_type_array);

	if (array && json_object_array_length(array) > max) {
		fields_fail(fields, -EBADMSG);
		return NULL;
	}
	return array;
}

void fields_element(struct fields *parent, struct json_object *array, size_t index,
		    struct fields *ret_fields)
{
	struct json_object *value = json_object_array_get_idx(array, index);

	if (!json_object_is_type(value, json_type_object))
		fields_fail(parent, -EBADMSG);
	*ret_fields = (struct fields){ .object = value, .error = parent->error };
}

void fields_element_uuid(struct fields *parent, struct json_object *array, size_t index,
			 struct uuid *ret_uuid)
{
	const char *text = string_of(json_object_array_get_idx(array, index), UUID_TEXT_SIZE);

	if (!text || uuid_parse(text, ret_uuid) < 0)
		fields_fail(parent, -EBADMSG);
}

int fields_split_mac(struct bytes line, char **ret_mac_input, uint8_t mac[static 32])
{
	static const char prefix[] = ",\"mac\":\"";
	static const char suffix[] = "\"}";
	const size_t text_size = BASE64URL_TEXT_SIZE(32) - 1;
	const size_t mac_size = sizeof(prefix) - 1 + text_size + sizeof(suffix) - 1;
	const char *end;
	char text[BASE64URL_TEXT_SIZE(32)] = { 0 };
	char *input;

	if (line.size <= mac_size)
		return -EBADMSG;
	end = (const char *)line.data + line.size - mac_size;
	if (memcmp(end, prefix, sizeof(prefix) - 1) != 0 ||
	    memcmp(end + sizeof(prefix) - 1 + text_size, suffix, sizeof(suffix) - 1) != 0)
		return -EBADMSG;
	memcpy(text, end + sizeof(prefix) - 1, text_size);
	if (base64url_decode_exact(text, mac, 32) < 0)
		return -EBADMSG;
	input = calloc(1, line.size - mac_size + 1);
	if (!input)
		return -ENOMEM;
	memcpy(input, line.data, line.size - mac_size);
	*ret_mac_input = input;
	return 0;
}

int fields_join_mac(const char *mac_input, const uint8_t mac[static 32], char **ret_line)
{
	char text[BASE64URL_TEXT_SIZE(32)];
	char *line = NULL;

	base64url_encode((struct bytes){ mac, 32 }, text);
	if (asprintf(&line, "%s,\"mac\":\"%s\"}", mac_input, text) < 0)
		return -ENOMEM;
	*ret_line = line;
	return 0;
}
