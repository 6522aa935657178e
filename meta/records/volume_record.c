/* SPDX-License-Identifier: Apache-2.0 */
/* Volume records: encoding, decoding and ownership.  Comparison is in volume_fields.c. */
#include "meta/records/volume_record.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "meta/records/fields.h"
#include "meta/records/record.h"

#define BLOCK_SIZE_MIN 4096
#define BLOCK_SIZE_MAX 1048576

static const char *const names_words[] = { "plain", "encrypted" };
static const char *const encryption_words[] = { "off", "on" };
static const char *const delete_sealed_words[] = {
	[DELETE_SEALED_COMMAND] = "command",
	[DELETE_SEALED_MOUNT] = "mount",
};
static const char *const seal_on_words[] = {
	[SEAL_ON_COMMAND] = "command",
	[SEAL_ON_RENAME] = "rename",
	[SEAL_ON_UNMOUNT] = "unmount",
};
static const char *const known[] = { "type",           "format",        "generation",
				     "volume",         "created",       "block_size",
				     "algorithm",      "names",         "snapshot_depth",
				     "encryption",     "default_key",   "default_key_id",
				     "recovery_keys",  "delete_sealed", "plaintext_snapshots",
				     "seal_on",        "policy",        "host",
				     "alternate_keys", "critical",      NULL };

const char *delete_sealed_name(enum delete_sealed value)
{
	return delete_sealed_words[value];
}

const char *seal_on_name(enum seal_on value)
{
	return seal_on_words[value];
}

static const char *const algorithm_names[] = { NULL, "aes-256-gcm", "chacha20-poly1305" };

const char *volume_algorithm_name(uint8_t algorithm)
{
	return algorithm < ARRAY_SIZE(algorithm_names) ? algorithm_names[algorithm] : NULL;
}

uint8_t volume_algorithm_by_name(const char *name)
{
	for (size_t i = 1; i < ARRAY_SIZE(algorithm_names); i++) {
		if (strcmp(algorithm_names[i], name) == 0)
			return (uint8_t)i;
	}
	return 0;
}

void volume_record_free(struct volume_record *record)
{
	for (size_t i = 0; i < record->recovery_key_count; i++) {
		free(record->recovery_keys[i].id);
		free(record->recovery_keys[i].pem);
	}
	for (size_t i = 0; i < record->alternate_key_count; i++) {
		free(record->alternate_keys[i].id);
		free(record->alternate_keys[i].uri);
	}
	for (size_t i = 0; i < record->plaintext_snapshot_count; i++)
		free(record->plaintext_snapshots[i].name);
	free(record->alternate_keys);
	free(record->recovery_keys);
	free(record->plaintext_snapshots);
	free(record->policy);
	*record = (struct volume_record){ 0 };
}

int volume_record_add_recovery_key(struct volume_record *record, const char *id, const char *pem)
{
	struct recovery_key *keys;
	struct recovery_key key = { 0 };

	if (record->recovery_key_count == VOLUME_RECOVERY_KEYS_MAX)
		return -ENOSPC;
	keys = reallocarray(record->recovery_keys, record->recovery_key_count + 1, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	record->recovery_keys = keys;
	key.id = strdup(id);
	key.pem = strdup(pem);
	if (!key.id || !key.pem) {
		free(key.id);
		free(key.pem);
		return -ENOMEM;
	}
	keys[record->recovery_key_count++] = key;
	return 0;
}

void volume_record_remove_recovery_key(struct volume_record *record, size_t index)
{
	free(record->recovery_keys[index].id);
	free(record->recovery_keys[index].pem);
	record->recovery_key_count--;
	for (size_t i = index; i < record->recovery_key_count; i++)
		record->recovery_keys[i] = record->recovery_keys[i + 1];
}

void volume_record_remove_alternate(struct volume_record *record, size_t index)
{
	free(record->alternate_keys[index].id);
	free(record->alternate_keys[index].uri);
	record->alternate_key_count--;
	for (size_t i = index; i < record->alternate_key_count; i++)
		record->alternate_keys[i] = record->alternate_keys[i + 1];
}

int volume_record_add_alternate(struct volume_record *record, const char *id, const char *uri)
{
	struct alternate_key *keys;
	struct alternate_key key = { 0 };

	for (size_t i = 0; i < record->alternate_key_count; i++)
		if (strcmp(record->alternate_keys[i].uri, uri) == 0)
			volume_record_remove_alternate(record, i--);
	if (record->alternate_key_count == VOLUME_ALTERNATES_MAX)
		return -ENOSPC;
	keys = reallocarray(record->alternate_keys, record->alternate_key_count + 1, sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	record->alternate_keys = keys;
	key.id = strdup(id);
	key.uri = strdup(uri);
	if (!key.id || !key.uri) {
		free(key.id);
		free(key.uri);
		return -ENOMEM;
	}
	keys[record->alternate_key_count++] = key;
	return 0;
}

int volume_record_add_plaintext(struct volume_record *record, const struct uuid *id,
				const char *name)
{
	struct plaintext_snapshot *list;
	char *copy;

	if (record->plaintext_snapshot_count == VOLUME_PLAINTEXT_MAX)
		return -ENOSPC;
	list = reallocarray(record->plaintext_snapshots, record->plaintext_snapshot_count + 1,
			    sizeof(*list));
	if (!list)
		return -ENOMEM;
	record->plaintext_snapshots = list;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	list[record->plaintext_snapshot_count++] = (struct plaintext_snapshot){ .id = *id,
										.name = copy };
	return 0;
}

static int copy_lists(const struct volume_record *record, struct volume_record *copy)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < record->recovery_key_count; i++)
		r = volume_record_add_recovery_key(copy, record->recovery_keys[i].id,
						   record->recovery_keys[i].pem);
	for (size_t i = 0; r == 0 && i < record->alternate_key_count; i++)
		r = volume_record_add_alternate(copy, record->alternate_keys[i].id,
						record->alternate_keys[i].uri);
	for (size_t i = 0; r == 0 && i < record->plaintext_snapshot_count; i++)
		r = volume_record_add_plaintext(copy, &record->plaintext_snapshots[i].id,
						record->plaintext_snapshots[i].name);
	if (r == 0 && record->policy) {
		copy->policy = strdup(record->policy);
		r = copy->policy ? 0 : -ENOMEM;
	}
	return r;
}

int volume_record_copy(const struct volume_record *record, struct volume_record *ret_copy)
{
	struct volume_record copy = *record;
	int r;

	copy.alternate_keys = NULL;
	copy.alternate_key_count = 0;
	copy.recovery_keys = NULL;
	copy.recovery_key_count = 0;
	copy.plaintext_snapshots = NULL;
	copy.plaintext_snapshot_count = 0;
	copy.policy = NULL;
	r = copy_lists(record, &copy);
	if (r < 0) {
		volume_record_free(&copy);
		return r;
	}
	*ret_copy = copy;
	return 0;
}

bool volume_record_lists_plaintext(const struct volume_record *record, const struct uuid *id,
				   const char *name)
{
	for (size_t i = 0; i < record->plaintext_snapshot_count; i++) {
		if (uuid_equal(&record->plaintext_snapshots[i].id, id) &&
		    strcmp(record->plaintext_snapshots[i].name, name) == 0)
			return true;
	}
	return false;
}

static bool is_record_valid(const struct volume_record *record)
{
	return record->generation > 0 && record->block_size >= BLOCK_SIZE_MIN &&
	       record->block_size <= BLOCK_SIZE_MAX &&
	       (record->block_size & (record->block_size - 1)) == 0 &&
	       volume_algorithm_name(record->algorithm) && record->snapshot_depth >= 1 &&
	       record->snapshot_depth <= VOLUME_DEPTH_MAX &&
	       (record->default_key[0] != '\0') == record->is_encrypted &&
	       (record->default_key_id[0] != '\0') == record->is_encrypted;
}

static void draft_recovery_keys(struct draft *draft, const struct volume_record *record)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < record->recovery_key_count; i++) {
		struct draft element;

		draft_begin(&element);
		draft_text(&element, "id", record->recovery_keys[i].id);
		draft_text(&element, "pem", record->recovery_keys[i].pem);
		draft_append(draft, array, &element);
	}
	draft_add(draft, "recovery_keys", array);
}

/* Absent where there is none, so that records of volumes without them are what they always were. */
static void draft_alternates(struct draft *draft, const struct volume_record *record)
{
	struct json_object *array;

	if (record->alternate_key_count == 0)
		return;
	array = json_object_new_array();
	for (size_t i = 0; i < record->alternate_key_count; i++) {
		struct draft element;

		draft_begin(&element);
		draft_text(&element, "id", record->alternate_keys[i].id);
		draft_text(&element, "uri", record->alternate_keys[i].uri);
		draft_append(draft, array, &element);
	}
	draft_add(draft, "alternate_keys", array);
}

static void draft_plaintext(struct draft *draft, const struct volume_record *record)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < record->plaintext_snapshot_count; i++) {
		struct draft element;

		draft_begin(&element);
		draft_uuid(&element, "id", &record->plaintext_snapshots[i].id);
		draft_name(&element, "name", record->plaintext_snapshots[i].name);
		draft_append(draft, array, &element);
	}
	draft_add(draft, "plaintext_snapshots", array);
}

static void draft_policy(struct draft *draft, const char *policy)
{
	struct fields fields;

	if (!policy)
		return;
	fields_parse(&fields, bytes_from_text(policy));
	if (fields.error) {
		draft->error = draft->error ? draft->error : -EINVAL;
		fields_cleanup(&fields);
		return;
	}
	draft_add(draft, "policy", TAKE(fields.object));
}

int volume_record_encode(const struct volume_record *record, char **ret_line)
{
	struct draft draft;

	if (!is_record_valid(record))
		return -EINVAL;
	draft_begin(&draft);
	draft_record(&draft, record_type_name(RECORD_VOLUME));
	draft_uuid(&draft, "volume", &record->volume);
	draft_number(&draft, "generation", record->generation);
	draft_time(&draft, "created", record->created_s);
	draft_number(&draft, "block_size", record->block_size);
	draft_number(&draft, "algorithm", record->algorithm);
	draft_text(&draft, "names", names_words[record->has_encrypted_names]);
	draft_number(&draft, "snapshot_depth", record->snapshot_depth);
	draft_text(&draft, "encryption", encryption_words[record->is_encrypted]);
	if (record->is_encrypted) {
		draft_text(&draft, "default_key", record->default_key);
		draft_text(&draft, "default_key_id", record->default_key_id);
	}
	draft_alternates(&draft, record);
	draft_recovery_keys(&draft, record);
	draft_plaintext(&draft, record);
	draft_text(&draft, "delete_sealed", delete_sealed_words[record->delete_sealed]);
	draft_text(&draft, "seal_on", seal_on_words[record->seal_on]);
	draft_policy(&draft, record->policy);
	draft_text(&draft, "host", record->host);
	return draft_end(&draft, ret_line);
}

static void read_recovery_keys(struct fields *fields, struct volume_record *record)
{
	struct json_object *array = fields_array(fields, "recovery_keys", VOLUME_RECOVERY_KEYS_MAX);

	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		struct fields element;
		char *id;
		char *pem;

		fields_element(fields, array, i, &element);
		id = fields_text_dup(&element, "id", KEY_ID_SIZE - 1);
		pem = fields_text_dup(&element, "pem", VOLUME_PEM_SIZE_MAX);
		fields_fail(fields, fields_end(&element));
		if (id && pem)
			fields_fail(fields, volume_record_add_recovery_key(record, id, pem));
		free(id);
		free(pem);
	}
}

static void read_alternates(struct fields *fields, struct volume_record *record)
{
	struct json_object *array;

	if (!fields_has(fields, "alternate_keys"))
		return;
	array = fields_array(fields, "alternate_keys", VOLUME_ALTERNATES_MAX);
	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		struct fields element;
		char *id;
		char *uri;

		fields_element(fields, array, i, &element);
		id = fields_text_dup(&element, "id", KEY_ID_SIZE - 1);
		uri = fields_text_dup(&element, "uri", KEY_ID_SIZE - 1);
		fields_fail(fields, fields_end(&element));
		if (id && uri)
			fields_fail(fields, volume_record_add_alternate(record, id, uri));
		free(id);
		free(uri);
	}
}

static void read_plaintext(struct fields *fields, struct volume_record *record)
{
	struct json_object *array = fields_array(fields, "plaintext_snapshots",
						 VOLUME_PLAINTEXT_MAX);

	for (size_t i = 0; array && i < json_object_array_length(array); i++) {
		struct fields element;
		struct uuid id;
		char *name;

		fields_element(fields, array, i, &element);
		fields_uuid(&element, "id", &id);
		name = fields_name_dup(&element, "name", PATH_MAX);
		fields_fail(fields, fields_end(&element));
		if (name)
			fields_fail(fields, volume_record_add_plaintext(record, &id, name));
		free(name);
	}
}

static void read_policy(struct fields *fields, struct volume_record *record)
{
	struct fields policy;

	if (!fields_has(fields, "policy"))
		return;
	fields_object(fields, "policy", &policy);
	if (!policy.error) {
		record->policy = strdup(json_object_to_json_string_ext(
			policy.object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
		if (!record->policy)
			fields_fail(&policy, -ENOMEM);
	}
	fields_fail(fields, fields_end(&policy));
}

static void read_volume_record(struct fields *fields, struct volume_record *record)
{
	fields_expect(fields, record_type_name(RECORD_VOLUME), known);
	fields_uuid(fields, "volume", &record->volume);
	record->generation = fields_number(fields, "generation", 1, FIELDS_NUMBER_MAX);
	record->created_s = fields_time(fields, "created");
	record->block_size = (uint32_t)fields_number(fields, "block_size", BLOCK_SIZE_MIN,
						     BLOCK_SIZE_MAX);
	record->algorithm = (uint8_t)fields_number(fields, "algorithm", 1, UINT8_MAX);
	record->has_encrypted_names = fields_word(fields, "names", names_words, 2) == 1;
	record->snapshot_depth = (unsigned)fields_number(fields, "snapshot_depth", 1,
							 VOLUME_DEPTH_MAX);
	record->is_encrypted = fields_word(fields, "encryption", encryption_words, 2) == 1;
	if (record->is_encrypted) {
		fields_text(fields, "default_key", record->default_key, KEY_ID_SIZE);
		fields_text(fields, "default_key_id", record->default_key_id, KEY_ID_SIZE);
	}
	read_alternates(fields, record);
	read_recovery_keys(fields, record);
	read_plaintext(fields, record);
	record->delete_sealed = (enum delete_sealed)fields_word(
		fields, "delete_sealed", delete_sealed_words, ARRAY_SIZE(delete_sealed_words));
	record->seal_on = (enum seal_on)fields_word(fields, "seal_on", seal_on_words,
						    ARRAY_SIZE(seal_on_words));
	read_policy(fields, record);
	fields_text(fields, "host", record->host, sizeof(record->host));
	if (!fields->error && !volume_algorithm_name(record->algorithm))
		fields_fail(fields, -ENOTSUP);
	if (!fields->error && !is_record_valid(record))
		fields_fail(fields, -EBADMSG);
}

int volume_record_decode(struct bytes line, struct volume_record *ret_record)
{
	struct volume_record record = { 0 };
	struct fields fields;
	int r;

	fields_parse(&fields, line);
	read_volume_record(&fields, &record);
	r = fields_end(&fields);
	if (r < 0) {
		volume_record_free(&record);
		return r;
	}
	*ret_record = record;
	return 0;
}
