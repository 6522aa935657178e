/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a record's JSON object.  Members keep the order in which they were added, so one record has
 * one text.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "meta/encoding.h"
#include "meta/records/fields.h"
#include "meta/records/record.h"
#include "meta/timestamp.h"

void draft_begin(struct draft *draft)
{
	*draft = (struct draft){ .object = json_object_new_object() };
	if (!draft->object)
		draft->error = -ENOMEM;
}

void draft_cleanup(struct draft *draft)
{
	json_object_put(draft->object);
	draft->object = NULL;
}

static void draft_fail(struct draft *draft, int error)
{
	if (!draft->error)
		draft->error = error;
}

void draft_add(struct draft *draft, const char *name, struct json_object *object)
{
	if (!object)
		draft_fail(draft, -ENOMEM);
	if (draft->error || json_object_object_add(draft->object, name, object) < 0) {
		draft_fail(draft, -ENOMEM);
		json_object_put(object);
	}
}

/* Is TEXT well-formed UTF-8 (no surrogates, nothing overlong, nothing above U+10FFFF)? */
static bool is_utf8(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		unsigned tail = *p < 0x80 ? 0 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
		uint32_t value = tail == 0 ? *p : *p & (0x3fU >> tail);
		static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };

		if ((*p >= 0x80 && *p < 0xc2) || *p > 0xf4)
			return false;
		p++;
		for (unsigned i = 0; i < tail; i++, p++) {
			if ((*p & 0xc0) != 0x80)
				return false;
			value = value << 6 | (*p & 0x3f);
		}
		if (value < least[tail] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
			return false;
	}
	return true;
}

void draft_text(struct draft *draft, const char *name, const char *text)
{
	if (!is_utf8(text))
		draft_fail(draft, -EINVAL);
	else
		draft_add(draft, name, json_object_new_string(text));
}

void draft_name(struct draft *draft, const char *name, const char *text)
{
	char member[64];

	if (is_utf8(text)) {
		draft_text(draft, name, text);
		return;
	}
	strcpy(stpncpy(member, name, sizeof(member) - 5), "_b64");
	draft_bytes(draft, member, bytes_from_text(text));
}

void draft_number(struct draft *draft, const char *name, uint64_t number)
{
	if (number > FIELDS_NUMBER_MAX)
		draft_fail(draft, -EINVAL);
	else
		draft_add(draft, name, json_object_new_int64((int64_t)number));
}

void draft_uuid(struct draft *draft, const char *name, const struct uuid *uuid)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(uuid, text);
	draft_text(draft, name, text);
}

void draft_time(struct draft *draft, const char *name, int64_t time_s)
{
	char text[TIMESTAMP_TEXT_SIZE];

	if (timestamp_format(time_s, text) < 0)
		draft_fail(draft, -EINVAL);
	else
		draft_text(draft, name, text);
}

void draft_bytes(struct draft *draft, const char *name, struct bytes bytes)
{
	char *text = malloc(BASE64URL_TEXT_SIZE(bytes.size));

	if (!text) {
		draft_fail(draft, -ENOMEM);
		return;
	}
	base64url_encode(bytes, text);
	draft_text(draft, name, text);
	free(text);
}

void draft_record(struct draft *draft, const char *type)
{
	draft_text(draft, "type", type);
	draft_number(draft, "format", RECORD_FORMAT);
}

void draft_append(struct draft *draft, struct json_object *array, struct draft *element)
{
	if (element->error)
		draft_fail(draft, element->error);
	else if (!array || json_object_array_add(array, element->object) < 0)
		draft_fail(draft, -ENOMEM);
	else
		element->object = NULL;
	draft_cleanup(element);
}

void draft_append_uuid(struct draft *draft, struct json_object *array, const struct uuid *uuid)
{
	char text[UUID_TEXT_SIZE];
	struct json_object *value;

	uuid_format(uuid, text);
	value = json_object_new_string(text);
	if (!array || !value || json_object_array_add(array, value) < 0) {
		json_object_put(value);
		draft_fail(draft, -ENOMEM);
	}
}

int draft_end(struct draft *draft, char **ret_text)
{
	const char *text = NULL;
	char *copy = NULL;

	if (!draft->error)
		text = json_object_to_json_string_ext(
			draft->object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text)
		copy = strdup(text);
	if (!copy)
		draft_fail(draft, -ENOMEM);
	draft_cleanup(draft);
	if (draft->error)
		return draft->error;
	*ret_text = copy;
	return 0;
}

int draft_end_mac_input(struct draft *draft, char **ret_mac_input)
{
	char *text = NULL;
	int r = draft_end(draft, &text);

	if (r < 0)
		return r;
	text[strlen(text) - 1] = '\0';
	*ret_mac_input = text;
	return 0;
}
