/* SPDX-License-Identifier: Apache-2.0 */
/* Key records: the slot table of one DEK. */
#include "meta/records/key_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "meta/records/fields.h"
#include "meta/records/record.h"
#include "meta/records/slot.h"

static const char *const known[] = { "type",     "format", "generation", "volume",
				     "snapshot", "dek",    "created",    "period_start",
				     "slots",    "mac",    "commitment", "critical",
				     NULL };

void key_record_free(struct key_record *record)
{
	for (size_t i = 0; i < record->slot_count; i++)
		free(record->slots[i].header);
	free(record->slots);
	free(record->mac_input);
	*record = (struct key_record){ 0 };
}

void key_record_remove_slot(struct key_record *record, size_t index)
{
	free(record->slots[index].header);
	record->slot_count--;
	for (size_t i = index; i < record->slot_count; i++)
		record->slots[i] = record->slots[i + 1];
}

static int copy_slots(const struct key_record *record, struct key_record *copy)
{
	copy->slots = calloc(record->slot_count + 1, sizeof(*copy->slots));
	if (!copy->slots)
		return -ENOMEM;
	for (size_t i = 0; i < record->slot_count; i++) {
		copy->slots[i] = record->slots[i];
		copy->slots[i].header = NULL;
		copy->slot_count++;
		if (!record->slots[i].header)
			continue;
		copy->slots[i].header = strdup(record->slots[i].header);
		if (!copy->slots[i].header)
			return -ENOMEM;
	}
	return 0;
}

int key_record_copy(const struct key_record *record, struct key_record *ret_copy)
{
	struct key_record copy = *record;
	int r;

	copy.slots = NULL;
	copy.slot_count = 0;
	copy.mac_input = record->mac_input ? strdup(record->mac_input) : NULL;
	r = record->mac_input && !copy.mac_input ? -ENOMEM : copy_slots(record, &copy);
	if (r < 0) {
		key_record_free(&copy);
		return r;
	}
	*ret_copy = copy;
	return 0;
}

const struct slot *key_record_primary(const struct key_record *record)
{
	for (size_t i = 0; i < record->slot_count; i++) {
		if (record->slots[i].role == SLOT_PRIMARY)
			return &record->slots[i];
	}
	return NULL;
}

static bool slot_belongs(const struct key_record *record, const struct slot *slot)
{
	return uuid_equal(&slot->volume, &record->volume) &&
	       uuid_equal(&slot->snapshot, &record->snapshot) &&
	       uuid_equal(&slot->dek, &record->dek);
}

/* One primary, every slot this DEK's and no slot id twice. */
static bool is_table_valid(const struct key_record *record)
{
	size_t primary_count = 0;

	if (record->slot_count == 0 || record->slot_count > KEY_SLOTS_MAX)
		return false;
	for (size_t i = 0; i < record->slot_count; i++) {
		const struct slot *slot = &record->slots[i];

		if (slot->role == SLOT_PRIMARY)
			primary_count++;
		if (!slot->header || !slot_belongs(record, slot))
			return false;
		for (size_t j = 0; j < i; j++) {
			if (uuid_equal(&slot->slot, &record->slots[j].slot))
				return false;
		}
	}
	return primary_count == 1;
}

static void draft_slots(struct draft *draft, const struct key_record *record)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < record->slot_count; i++) {
		const struct slot *slot = &record->slots[i];
		struct draft element;

		draft_begin(&element);
		draft_text(&element, "header", slot->header);
		draft_bytes(&element, "capsule",
			    (struct bytes){ slot->capsule, SLOT_CAPSULE_SIZE });
		draft_append(draft, array, &element);
	}
	draft_add(draft, "slots", array);
}

int key_record_encode_mac_input(struct key_record *record)
{
	struct draft draft;
	char *mac_input = NULL;
	int r;

	if (record->generation == 0 || !is_table_valid(record))
		return -EINVAL;
	draft_begin(&draft);
	draft_record(&draft, record_type_name(RECORD_KEY));
	draft_number(&draft, "generation", record->generation);
	draft_uuid(&draft, "volume", &record->volume);
	draft_uuid(&draft, "snapshot", &record->snapshot);
	draft_uuid(&draft, "dek", &record->dek);
	draft_time(&draft, "created", record->created_s);
	if (record->period_start_s != 0)
		draft_time(&draft, "period_start", record->period_start_s);
	draft_bytes(&draft, "commitment",
		    (struct bytes){ record->commitment, DEK_COMMITMENT_SIZE });
	draft_slots(&draft, record);
	r = draft_end_mac_input(&draft, &mac_input);
	if (r < 0)
		return r;
	free(record->mac_input);
	record->mac_input = mac_input;
	return 0;
}

int key_record_encode(const struct key_record *record, char **ret_line)
{
	return record->mac_input ? fields_join_mac(record->mac_input, record->mac, ret_line)
				 : -EINVAL;
}

static void read_slot(struct fields *fields, struct slot *slot)
{
	slot->header = fields_text_dup(fields, "header", SLOT_HEADER_MAX);
	fields_bytes(fields, "capsule", slot->capsule, sizeof(slot->capsule));
	if (slot->header)
		fields_fail(fields, slot_decode_header(slot));
}

static void read_slots(struct fields *fields, struct key_record *record)
{
	struct json_object *array = fields_array(fields, "slots", KEY_SLOTS_MAX);
	size_t count = array ? json_object_array_length(array) : 0;

	if (count == 0) {
		fields_fail(fields, -EBADMSG);
		return;
	}
	record->slots = calloc(count, sizeof(*record->slots));
	if (!record->slots) {
		fields_fail(fields, -ENOMEM);
		return;
	}
	record->slot_count = count;
	for (size_t i = 0; i < count && !fields->error; i++) {
		struct fields element;

		fields_element(fields, array, i, &element);
		read_slot(&element, &record->slots[i]);
		fields_fail(fields, fields_end(&element));
	}
	if (!fields->error && !is_table_valid(record))
		fields_fail(fields, -EBADMSG);
}

static void read_key_record(struct fields *fields, struct key_record *record)
{
	fields_expect(fields, record_type_name(RECORD_KEY), known);
	record->generation = fields_number(fields, "generation", 1, FIELDS_NUMBER_MAX);
	fields_uuid(fields, "volume", &record->volume);
	fields_uuid(fields, "snapshot", &record->snapshot);
	fields_uuid(fields, "dek", &record->dek);
	record->created_s = fields_time(fields, "created");
	if (fields_has(fields, "period_start"))
		record->period_start_s = fields_time(fields, "period_start");
	fields_bytes(fields, "commitment", record->commitment, sizeof(record->commitment));
	read_slots(fields, record);
}

int key_record_decode(struct bytes line, struct key_record *ret_record)
{
	struct key_record record = { 0 };
	struct fields fields;
	int r;

	fields_parse(&fields, line);
	read_key_record(&fields, &record);
	r = fields_end(&fields);
	if (r == 0)
		r = fields_split_mac(line, &record.mac_input, record.mac);
	if (r < 0) {
		key_record_free(&record);
		return r;
	}
	*ret_record = record;
	return 0;
}
