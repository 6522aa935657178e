/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of a host's own notes. */
#include "meta/records/host_state.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "meta/records/fields.h"
#include "meta/records/record.h"

static const char *const pin_known[] = { "type",     "format",   "record",   "generation",
					 "sequence", "backings", "critical", NULL };
static const char *const dek_known[] = { "type",       "format",   "origin",
					 "generation", "snapshot", "period_start",
					 "commitment", "critical", NULL };
static const char *const keks_known[] = { "type", "format", "keys", "critical", NULL };

/* How a DEK came to be known. */
enum { ORIGIN_SEEN, ORIGIN_TRUSTED, ORIGIN_MADE };
static const char *const origin_words[] = { "seen", "trusted", "made" };

void volume_pin_free(struct volume_pin *pin)
{
	volume_record_free(&pin->record);
	for (size_t i = 0; i < pin->backing_count; i++)
		free(pin->backings[i]);
	free(pin->backings);
	*pin = (struct volume_pin){ 0 };
}

int volume_pin_add_backing(struct volume_pin *pin, const char *path)
{
	char *copy;

	for (size_t i = 0; i < pin->backing_count; i++) {
		if (strcmp(pin->backings[i], path) == 0)
			return 0;
	}
	if (!pin->backings) {
		pin->backings = calloc(HOST_BACKINGS_MAX, sizeof(*pin->backings));
		if (!pin->backings)
			return -ENOMEM;
	}
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	if (pin->backing_count == HOST_BACKINGS_MAX) {
		free(pin->backings[0]);
		pin->backing_count--;
		memmove(pin->backings, pin->backings + 1,
			pin->backing_count * sizeof(*pin->backings));
	}
	pin->backings[pin->backing_count++] = copy;
	return 0;
}

static void draft_backings(struct draft *draft, const struct volume_pin *pin)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < pin->backing_count; i++) {
		struct draft element;

		draft_begin(&element);
		draft_name(&element, "path", pin->backings[i]);
		draft_append(draft, array, &element);
	}
	draft_add(draft, "backings", array);
}

int volume_pin_encode(const struct volume_pin *pin, char **ret_text)
{
	struct draft draft;
	char *line = NULL;
	int r = volume_record_encode(&pin->record, &line);

	if (r < 0)
		return r;
	draft_begin(&draft);
	draft_record(&draft, "volume-pin");
	draft_text(&draft, "record", line);
	draft_number(&draft, "generation", pin->generation);
	draft_number(&draft, "sequence", pin->sequence);
	draft_backings(&draft, pin);
	free(line);
	return draft_end(&draft, ret_text);
}

static void read_backings(struct fields *fields, struct volume_pin *pin)
{
	struct json_object *array = fields_array(fields, "backings", HOST_BACKINGS_MAX);

	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		struct fields element;
		char *path;

		fields_element(fields, array, i, &element);
		path = fields_name_dup(&element, "path", PATH_MAX);
		fields_fail(fields, fields_end(&element));
		if (path)
			fields_fail(fields, volume_pin_add_backing(pin, path));
		free(path);
	}
}

int volume_pin_decode(struct bytes text, struct volume_pin *ret_pin)
{
	struct volume_pin pin = { 0 };
	struct fields fields;
	char *line;
	int r;

	fields_parse(&fields, text);
	fields_expect(&fields, "volume-pin", pin_known);
	line = fields_text_dup(&fields, "record", RECORD_SIZE_MAX);
	if (line)
		fields_fail(&fields, volume_record_decode(bytes_from_text(line), &pin.record));
	free(line);
	pin.generation = fields_number(&fields, "generation", 1, FIELDS_NUMBER_MAX);
	pin.sequence = fields_number(&fields, "sequence", 0, FIELDS_NUMBER_MAX);
	read_backings(&fields, &pin);
	r = fields_end(&fields);
	if (r < 0) {
		volume_pin_free(&pin);
		return r;
	}
	*ret_pin = pin;
	return 0;
}

int dek_pin_encode(const struct dek_pin *pin, char **ret_text)
{
	const unsigned origin = pin->is_made_here ? ORIGIN_MADE
				: pin->is_trusted ? ORIGIN_TRUSTED
						  : ORIGIN_SEEN;
	struct draft draft;

	draft_begin(&draft);
	draft_record(&draft, "dek-pin");
	draft_text(&draft, "origin", origin_words[origin]);
	draft_number(&draft, "generation", pin->generation);
	draft_uuid(&draft, "snapshot", &pin->snapshot);
	if (pin->period_start_s != 0)
		draft_time(&draft, "period_start", pin->period_start_s);
	draft_bytes(&draft, "commitment", (struct bytes){ pin->commitment, DEK_COMMITMENT_SIZE });
	return draft_end(&draft, ret_text);
}

int dek_pin_decode(struct bytes text, struct dek_pin *ret_pin)
{
	struct dek_pin pin = { 0 };
	struct fields fields;
	unsigned origin;
	int r;

	fields_parse(&fields, text);
	fields_expect(&fields, "dek-pin", dek_known);
	origin = fields_word(&fields, "origin", origin_words, ARRAY_SIZE(origin_words));
	pin.generation = fields_number(&fields, "generation", 1, FIELDS_NUMBER_MAX);
	fields_uuid(&fields, "snapshot", &pin.snapshot);
	if (fields_has(&fields, "period_start"))
		pin.period_start_s = fields_time(&fields, "period_start");
	fields_bytes(&fields, "commitment", pin.commitment, sizeof(pin.commitment));
	r = fields_end(&fields);
	if (r < 0)
		return r;
	pin.is_made_here = origin == ORIGIN_MADE;
	pin.is_trusted = origin != ORIGIN_SEEN;
	*ret_pin = pin;
	return 0;
}

void kek_list_free(struct kek_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->entries[i].uri);
		free(list->entries[i].key_id);
	}
	free(list->entries);
	*list = (struct kek_list){ 0 };
}

struct kek_entry *kek_list_add(struct kek_list *list, const char *uri, const char *key_id)
{
	struct kek_entry entry = { 0 };
	struct kek_entry *entries;

	if (list->count == HOST_KEKS_MAX)
		return NULL;
	entries = reallocarray(list->entries, list->count + 1, sizeof(*entries));
	if (!entries)
		return NULL;
	list->entries = entries;
	entry.uri = uri ? strdup(uri) : NULL;
	entry.key_id = key_id ? strdup(key_id) : NULL;
	if ((uri && !entry.uri) || (key_id && !entry.key_id)) {
		free(entry.uri);
		free(entry.key_id);
		return NULL;
	}
	entries[list->count] = entry;
	return &entries[list->count++];
}

int kek_list_encode(const struct kek_list *list, char **ret_text)
{
	struct json_object *array = json_object_new_array();
	struct draft draft;

	draft_begin(&draft);
	draft_record(&draft, "keys");
	for (size_t i = 0; i < list->count; i++) {
		const struct kek_entry *entry = &list->entries[i];
		struct draft element;

		draft_begin(&element);
		if (entry->uri)
			draft_text(&element, "uri", entry->uri);
		if (entry->key_id)
			draft_text(&element, "key_id", entry->key_id);
		if (entry->state[0] != '\0') {
			draft_text(&element, "state", entry->state);
			draft_time(&element, "since", entry->since_s);
		}
		draft_append(&draft, array, &element);
	}
	draft_add(&draft, "keys", array);
	return draft_end(&draft, ret_text);
}

static void read_kek(struct fields *fields, struct kek_list *list)
{
	char *uri = fields_has(fields, "uri") ? fields_text_dup(fields, "uri", 4096) : NULL;
	char *key_id = fields_has(fields, "key_id")
			       ? fields_text_dup(fields, "key_id", KEY_ID_SIZE - 1)
			       : NULL;
	struct kek_entry *entry = fields->error ? NULL : kek_list_add(list, uri, key_id);

	if (!fields->error && !entry)
		fields_fail(fields, -ENOMEM);
	if (entry && fields_has(fields, "state")) {
		fields_text(fields, "state", entry->state, sizeof(entry->state));
		entry->since_s = fields_time(fields, "since");
	}
	free(uri);
	free(key_id);
}

int kek_list_decode(struct bytes text, struct kek_list *ret_list)
{
	struct kek_list list = { 0 };
	struct json_object *array;
	struct fields fields;
	int r;

	fields_parse(&fields, text);
	fields_expect(&fields, "keys", keks_known);
	array = fields_array(&fields, "keys", HOST_KEKS_MAX);
	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		struct fields element;

		fields_element(&fields, array, i, &element);
		read_kek(&element, &list);
		fields_fail(&fields, fields_end(&element));
	}
	r = fields_end(&fields);
	if (r < 0) {
		kek_list_free(&list);
		return r;
	}
	*ret_list = list;
	return 0;
}
