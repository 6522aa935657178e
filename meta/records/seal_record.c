/* SPDX-License-Identifier: Apache-2.0 */
/* Seal records and tombstones. */
#include "meta/records/seal_record.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "meta/records/fields.h"
#include "meta/records/record.h"

#define REASON_SIZE_MAX 1024

static const char *const seal_known[] = { "type", "format",   "sequence", "volume", "snapshot",
					  "name", "name_b64", "created",  "sealed", "manifest",
					  "dek",  "deks",     "counts",   "roots",  "previous",
					  "mac",  "critical", NULL };
static const char *const tombstone_known[] = { "type",     "format", "sequence", "volume",
					       "snapshot", "name",   "name_b64", "deleted",
					       "reason",   "seal",   "shredded", "previous",
					       "critical", NULL };

void seal_record_free(struct seal_record *record)
{
	free(record->name);
	free(record->deks);
	free(record->mac_input);
	*record = (struct seal_record){ 0 };
}

void tombstone_free(struct tombstone *tombstone)
{
	free(tombstone->name);
	free(tombstone->reason);
	free(tombstone->shredded);
	*tombstone = (struct tombstone){ 0 };
}

/* A chain's first record has no predecessor, and only that. */
static bool is_previous_valid(uint64_t sequence, bool has_previous)
{
	return has_previous == (sequence > 1);
}

static void draft_uuids(struct draft *draft, const char *name, const struct uuid *uuids,
			size_t count)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < count; i++)
		draft_append_uuid(draft, array, &uuids[i]);
	draft_add(draft, name, array);
}

static void read_uuids(struct fields *fields, const char *name, struct uuid **ret_uuids,
		       size_t *ret_count)
{
	struct json_object *array = fields_array(fields, name, SEAL_DEKS_MAX);
	size_t count = array ? json_object_array_length(array) : 0;
	struct uuid *uuids = calloc(count ? count : 1, sizeof(*uuids));

	*ret_uuids = uuids;
	*ret_count = 0;
	if (!uuids) {
		fields_fail(fields, -ENOMEM);
		return;
	}
	for (size_t i = 0; i < count; i++)
		fields_element_uuid(fields, array, i, &uuids[i]);
	*ret_count = count;
}

static void draft_previous(struct draft *draft, bool has_previous, const uint8_t *previous)
{
	if (has_previous)
		draft_bytes(draft, "previous", (struct bytes){ previous, SEAL_ROOT_SIZE });
}

static bool read_previous(struct fields *fields, uint64_t sequence, uint8_t *previous)
{
	bool has_previous = fields_has(fields, "previous");

	if (has_previous)
		fields_bytes(fields, "previous", previous, SEAL_ROOT_SIZE);
	if (!is_previous_valid(sequence, has_previous))
		fields_fail(fields, -EBADMSG);
	return has_previous;
}

static void draft_manifest(struct draft *draft, const struct seal_manifest *manifest)
{
	struct draft inner;

	draft_begin(&inner);
	draft_bytes(&inner, "object", (struct bytes){ manifest->object_id, SEAL_OBJECT_ID_SIZE });
	draft_bytes(&inner, "content",
		    (struct bytes){ manifest->content_id, SEAL_CONTENT_ID_SIZE });
	draft_number(&inner, "size", manifest->size);
	draft_bytes(&inner, "sha256", (struct bytes){ manifest->sha256, 32 });
	if (inner.error)
		draft->error = draft->error ? draft->error : inner.error;
	draft_add(draft, "manifest", TAKE(inner.object));
}

static void read_manifest(struct fields *fields, struct seal_manifest *manifest)
{
	struct fields inner;

	fields_object(fields, "manifest", &inner);
	fields_bytes(&inner, "object", manifest->object_id, SEAL_OBJECT_ID_SIZE);
	fields_bytes(&inner, "content", manifest->content_id, SEAL_CONTENT_ID_SIZE);
	manifest->size = fields_number(&inner, "size", 0, FIELDS_NUMBER_MAX);
	fields_bytes(&inner, "sha256", manifest->sha256, sizeof(manifest->sha256));
	fields_fail(fields, fields_end(&inner));
}

/* The members of `counts` and `roots`: one table for both directions. */
struct count_member {
	const char *object;
	const char *name;
	size_t offset;
};
static const struct count_member count_members[] = {
	{ "counts", "files", offsetof(struct seal_record, counts.files) },
	{ "counts", "directories", offsetof(struct seal_record, counts.directories) },
	{ "counts", "symlinks", offsetof(struct seal_record, counts.symlinks) },
	{ "counts", "special", offsetof(struct seal_record, counts.special) },
	{ "counts", "bytes", offsetof(struct seal_record, counts.bytes) },
	{ "counts", "blocks", offsetof(struct seal_record, counts.blocks) },
	{ "roots", "remembered", offsetof(struct seal_record, roots_remembered) },
	{ "roots", "reread", offsetof(struct seal_record, roots_reread) },
};

static void draft_counts(struct draft *draft, const char *object, const struct seal_record *record)
{
	struct draft inner;

	draft_begin(&inner);
	for (size_t i = 0; i < ARRAY_SIZE(count_members); i++) {
		const struct count_member *member = &count_members[i];
		uint64_t value;

		if (strcmp(member->object, object) != 0)
			continue;
		memcpy(&value, (const uint8_t *)record + member->offset, sizeof(value));
		draft_number(&inner, member->name, value);
	}
	if (inner.error)
		draft->error = draft->error ? draft->error : inner.error;
	draft_add(draft, object, TAKE(inner.object));
}

static void read_counts(struct fields *fields, const char *object, struct seal_record *record)
{
	struct fields inner;

	fields_object(fields, object, &inner);
	for (size_t i = 0; i < ARRAY_SIZE(count_members); i++) {
		const struct count_member *member = &count_members[i];
		uint64_t value;

		if (strcmp(member->object, object) != 0)
			continue;
		value = fields_number(&inner, member->name, 0, FIELDS_NUMBER_MAX);
		memcpy((uint8_t *)record + member->offset, &value, sizeof(value));
	}
	fields_fail(fields, fields_end(&inner));
}

int seal_record_encode_mac_input(struct seal_record *record)
{
	struct draft draft;
	char *mac_input = NULL;
	int r;

	if (!record->name || !is_previous_valid(record->sequence, record->has_previous))
		return -EINVAL;
	draft_begin(&draft);
	draft_record(&draft, record_type_name(RECORD_SEAL));
	draft_number(&draft, "sequence", record->sequence);
	draft_uuid(&draft, "volume", &record->volume);
	draft_uuid(&draft, "snapshot", &record->snapshot);
	draft_name(&draft, "name", record->name);
	draft_time(&draft, "created", record->created_s);
	draft_time(&draft, "sealed", record->sealed_s);
	draft_manifest(&draft, &record->manifest);
	draft_uuid(&draft, "dek", &record->dek);
	draft_uuids(&draft, "deks", record->deks, record->dek_count);
	draft_counts(&draft, "counts", record);
	draft_counts(&draft, "roots", record);
	draft_previous(&draft, record->has_previous, record->previous);
	r = draft_end_mac_input(&draft, &mac_input);
	if (r < 0)
		return r;
	free(record->mac_input);
	record->mac_input = mac_input;
	return 0;
}

int seal_record_encode(const struct seal_record *record, char **ret_line)
{
	return record->mac_input ? fields_join_mac(record->mac_input, record->mac, ret_line)
				 : -EINVAL;
}

static void read_seal(struct fields *fields, struct seal_record *record)
{
	fields_expect(fields, record_type_name(RECORD_SEAL), seal_known);
	record->sequence = fields_number(fields, "sequence", 1, FIELDS_NUMBER_MAX);
	fields_uuid(fields, "volume", &record->volume);
	fields_uuid(fields, "snapshot", &record->snapshot);
	record->name = fields_name_dup(fields, "name", PATH_MAX);
	record->created_s = fields_time(fields, "created");
	record->sealed_s = fields_time(fields, "sealed");
	read_manifest(fields, &record->manifest);
	fields_uuid(fields, "dek", &record->dek);
	read_uuids(fields, "deks", &record->deks, &record->dek_count);
	read_counts(fields, "counts", record);
	read_counts(fields, "roots", record);
	record->has_previous = read_previous(fields, record->sequence, record->previous);
}

int seal_record_decode(struct bytes line, struct seal_record *ret_record)
{
	struct seal_record record = { 0 };
	struct fields fields;
	int r;

	fields_parse(&fields, line);
	read_seal(&fields, &record);
	r = fields_end(&fields);
	if (r == 0)
		r = fields_split_mac(line, &record.mac_input, record.mac);
	if (r < 0) {
		seal_record_free(&record);
		return r;
	}
	*ret_record = record;
	return 0;
}

int tombstone_encode(const struct tombstone *tombstone, char **ret_line)
{
	struct draft draft;

	if (!tombstone->name || !tombstone->reason ||
	    !is_previous_valid(tombstone->sequence, tombstone->has_previous))
		return -EINVAL;
	draft_begin(&draft);
	draft_record(&draft, record_type_name(RECORD_TOMBSTONE));
	draft_number(&draft, "sequence", tombstone->sequence);
	draft_uuid(&draft, "volume", &tombstone->volume);
	draft_uuid(&draft, "snapshot", &tombstone->snapshot);
	draft_name(&draft, "name", tombstone->name);
	draft_time(&draft, "deleted", tombstone->deleted_s);
	draft_text(&draft, "reason", tombstone->reason);
	if (tombstone->seal > 0)
		draft_number(&draft, "seal", tombstone->seal);
	draft_uuids(&draft, "shredded", tombstone->shredded, tombstone->shredded_count);
	draft_previous(&draft, tombstone->has_previous, tombstone->previous);
	return draft_end(&draft, ret_line);
}

static void read_tombstone(struct fields *fields, struct tombstone *tombstone)
{
	fields_expect(fields, record_type_name(RECORD_TOMBSTONE), tombstone_known);
	tombstone->sequence = fields_number(fields, "sequence", 1, FIELDS_NUMBER_MAX);
	fields_uuid(fields, "volume", &tombstone->volume);
	fields_uuid(fields, "snapshot", &tombstone->snapshot);
	tombstone->name = fields_name_dup(fields, "name", PATH_MAX);
	tombstone->deleted_s = fields_time(fields, "deleted");
	tombstone->reason = fields_text_dup(fields, "reason", REASON_SIZE_MAX);
	if (fields_has(fields, "seal"))
		tombstone->seal = fields_number(fields, "seal", 1, tombstone->sequence);
	read_uuids(fields, "shredded", &tombstone->shredded, &tombstone->shredded_count);
	tombstone->has_previous = read_previous(fields, tombstone->sequence, tombstone->previous);
}

int tombstone_decode(struct bytes line, struct tombstone *ret_tombstone)
{
	struct tombstone tombstone = { 0 };
	struct fields fields;
	int r;

	fields_parse(&fields, line);
	read_tombstone(&fields, &tombstone);
	r = fields_end(&fields);
	if (r < 0) {
		tombstone_free(&tombstone);
		return r;
	}
	*ret_tombstone = tombstone;
	return 0;
}
