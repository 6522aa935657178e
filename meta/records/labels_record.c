/* SPDX-License-Identifier: Apache-2.0 */
/* Labels records. */
#include "meta/records/labels_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "meta/records/fields.h"
#include "meta/records/record.h"

static const char *const known[] = { "type",       "format",   "generation", "volume",
				     "snapshot",   "written",  "tags",       "holds",
				     "keep_until", "critical", NULL };

static void hold_free(struct label_hold *hold)
{
	free(hold->name);
	free(hold->reason);
}

void labels_record_free(struct labels_record *record)
{
	for (size_t i = 0; i < record->tag_count; i++)
		free(record->tags[i]);
	for (size_t i = 0; i < record->hold_count; i++)
		hold_free(&record->holds[i]);
	free(record->tags);
	free(record->holds);
	*record = (struct labels_record){ 0 };
}

/* ---- Changing -------------------------------------------------------------------------------------------------- */

static bool is_label(const char *text)
{
	const size_t length = strlen(text);

	if (length == 0 || length >= LABEL_SIZE_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return true;
}

/* Tags are NAME or NAME=VALUE. */
static bool has_same_name(const char *tag, const char *other)
{
	const size_t length = strcspn(tag, "=");

	return length == strcspn(other, "=") && memcmp(tag, other, length) == 0;
}

static size_t find_tag(const struct labels_record *record, const char *name)
{
	size_t i = 0;

	while (i < record->tag_count && !has_same_name(record->tags[i], name))
		i++;
	return i;
}

static size_t find_hold(const struct labels_record *record, const char *name)
{
	size_t i = 0;

	while (i < record->hold_count && strcmp(record->holds[i].name, name) != 0)
		i++;
	return i;
}

int labels_record_add_tag(struct labels_record *record, const char *tag)
{
	char **tags = NULL;
	char *copy = NULL;

	if (!is_label(tag) || tag[0] == '=')
		return -EINVAL;
	if (find_tag(record, tag) < record->tag_count)
		return -EEXIST;
	if (record->tag_count == LABELS_TAGS_MAX)
		return -E2BIG;
	tags = reallocarray(record->tags, record->tag_count + 1, sizeof(*tags));
	if (tags)
		record->tags = tags;
	copy = strdup(tag);
	if (!tags || !copy) {
		free(copy);
		return -ENOMEM;
	}
	record->tags[record->tag_count++] = copy;
	return 0;
}

int labels_record_remove_tag(struct labels_record *record, const char *name)
{
	const size_t index = find_tag(record, name);

	if (index == record->tag_count)
		return -ENOENT;
	free(record->tags[index]);
	record->tag_count--;
	memmove(&record->tags[index], &record->tags[index + 1],
		(record->tag_count - index) * sizeof(*record->tags));
	return 0;
}

int labels_record_add_hold(struct labels_record *record, const char *name, const char *reason,
			   int64_t since_s)
{
	struct label_hold *holds = NULL;
	struct label_hold hold = { .since_s = since_s };

	if (!is_label(name) || strlen(reason) >= LABEL_REASON_SIZE)
		return -EINVAL;
	if (find_hold(record, name) < record->hold_count)
		return -EEXIST;
	if (record->hold_count == LABELS_HOLDS_MAX)
		return -E2BIG;
	holds = reallocarray(record->holds, record->hold_count + 1, sizeof(*holds));
	if (holds)
		record->holds = holds;
	hold.name = strdup(name);
	hold.reason = strdup(reason);
	if (!holds || !hold.name || !hold.reason) {
		hold_free(&hold);
		return -ENOMEM;
	}
	record->holds[record->hold_count++] = hold;
	return 0;
}

int labels_record_remove_hold(struct labels_record *record, const char *name)
{
	const size_t index = find_hold(record, name);

	if (index == record->hold_count)
		return -ENOENT;
	hold_free(&record->holds[index]);
	record->hold_count--;
	memmove(&record->holds[index], &record->holds[index + 1],
		(record->hold_count - index) * sizeof(*record->holds));
	return 0;
}

/* ---- Encoding -------------------------------------------------------------------------------------------------- */

static void draft_tags(struct draft *draft, const struct labels_record *record)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; array && i < record->tag_count; i++) {
		struct json_object *tag = json_object_new_string(record->tags[i]);

		if (!tag || json_object_array_add(array, tag) < 0) {
			json_object_put(tag);
			json_object_put(array);
			array = NULL;
		}
	}
	draft_add(draft, "tags", array);
}

static void draft_holds(struct draft *draft, const struct labels_record *record)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < record->hold_count; i++) {
		struct draft hold;

		draft_begin(&hold);
		draft_text(&hold, "name", record->holds[i].name);
		draft_text(&hold, "reason", record->holds[i].reason);
		draft_time(&hold, "since", record->holds[i].since_s);
		draft_append(draft, array, &hold);
	}
	draft_add(draft, "holds", array);
}

int labels_record_encode(const struct labels_record *record, char **ret_line)
{
	struct draft draft;

	draft_begin(&draft);
	draft_record(&draft, record_type_name(RECORD_LABELS));
	draft_number(&draft, "generation", record->generation);
	draft_uuid(&draft, "volume", &record->volume);
	draft_uuid(&draft, "snapshot", &record->snapshot);
	draft_time(&draft, "written", record->written_s);
	draft_tags(&draft, record);
	draft_holds(&draft, record);
	if (record->keep_until_s != 0)
		draft_time(&draft, "keep_until", record->keep_until_s);
	return draft_end(&draft, ret_line);
}

/* What cannot be added again was no record of ours. */
static void fail_unless_memory(struct fields *fields, int error)
{
	if (error < 0)
		fields_fail(fields, error == -ENOMEM ? -ENOMEM : -EBADMSG);
}

static void read_tags(struct fields *fields, struct labels_record *record)
{
	struct json_object *array = fields_array(fields, "tags", LABELS_TAGS_MAX);
	const size_t count = array ? json_object_array_length(array) : 0;

	for (size_t i = 0; i < count; i++) {
		struct json_object *tag = json_object_array_get_idx(array, i);
		const char *text = json_object_is_type(tag, json_type_string)
					   ? json_object_get_string(tag)
					   : "";

		if (strlen(text) != (size_t)json_object_get_string_len(tag))
			fields_fail(fields, -EBADMSG);
		else
			fail_unless_memory(fields, labels_record_add_tag(record, text));
	}
}

static void read_hold(struct fields *parent, struct json_object *array, size_t index,
		      struct labels_record *record)
{
	struct fields fields;
	char *name = NULL;
	char *reason = NULL;
	int64_t since_s = 0;

	fields_element(parent, array, index, &fields);
	name = fields_text_dup(&fields, "name", LABEL_SIZE_MAX - 1);
	reason = fields_text_dup(&fields, "reason", LABEL_REASON_SIZE - 1);
	since_s = fields_time(&fields, "since");
	fields_fail(parent, fields_end(&fields));
	if (name && reason && !parent->error)
		fail_unless_memory(parent, labels_record_add_hold(record, name, reason, since_s));
	free(name);
	free(reason);
}

static void read_labels(struct fields *fields, struct labels_record *record)
{
	struct json_object *holds = NULL;
	size_t count = 0;

	fields_expect(fields, record_type_name(RECORD_LABELS), known);
	record->generation = fields_number(fields, "generation", 1, FIELDS_NUMBER_MAX);
	fields_uuid(fields, "volume", &record->volume);
	fields_uuid(fields, "snapshot", &record->snapshot);
	record->written_s = fields_time(fields, "written");
	read_tags(fields, record);
	holds = fields_array(fields, "holds", LABELS_HOLDS_MAX);
	count = holds ? json_object_array_length(holds) : 0;
	for (size_t i = 0; i < count; i++)
		read_hold(fields, holds, i, record);
	if (fields_has(fields, "keep_until"))
		record->keep_until_s = fields_time(fields, "keep_until");
}

int labels_record_decode(struct bytes line, struct labels_record *ret_record)
{
	struct labels_record record = { 0 };
	struct fields fields;
	int r;

	fields_parse(&fields, line);
	read_labels(&fields, &record);
	r = fields_end(&fields);
	if (r < 0) {
		labels_record_free(&record);
		return r;
	}
	*ret_record = record;
	return 0;
}
