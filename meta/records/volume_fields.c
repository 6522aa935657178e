/* SPDX-License-Identifier: Apache-2.0 */
/* In which settings do two volume records differ, and how to say so. */
#include <stdio.h>
#include <string.h>

#include "meta/records/volume_record.h"

static bool is_same_text(const char *a, const char *b)
{
	return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

static bool is_same_recovery(const struct volume_record *a, const struct volume_record *b)
{
	if (a->recovery_key_count != b->recovery_key_count)
		return false;
	for (size_t i = 0; i < a->recovery_key_count; i++) {
		if (strcmp(a->recovery_keys[i].id, b->recovery_keys[i].id) != 0 ||
		    strcmp(a->recovery_keys[i].pem, b->recovery_keys[i].pem) != 0)
			return false;
	}
	return true;
}

static bool is_same_alternates(const struct volume_record *a, const struct volume_record *b)
{
	if (a->alternate_key_count != b->alternate_key_count)
		return false;
	for (size_t i = 0; i < a->alternate_key_count; i++) {
		if (strcmp(a->alternate_keys[i].uri, b->alternate_keys[i].uri) != 0)
			return false;
	}
	return true;
}

static bool is_same_plaintext(const struct volume_record *a, const struct volume_record *b)
{
	if (a->plaintext_snapshot_count != b->plaintext_snapshot_count)
		return false;
	for (size_t i = 0; i < a->plaintext_snapshot_count; i++) {
		if (!uuid_equal(&a->plaintext_snapshots[i].id, &b->plaintext_snapshots[i].id) ||
		    strcmp(a->plaintext_snapshots[i].name, b->plaintext_snapshots[i].name) != 0)
			return false;
	}
	return true;
}

unsigned volume_record_differences(const struct volume_record *a, const struct volume_record *b)
{
	unsigned fields = 0;

	if (!uuid_equal(&a->volume, &b->volume))
		fields |= VOLUME_FIELD_VOLUME;
	if (a->is_encrypted != b->is_encrypted)
		fields |= VOLUME_FIELD_ENCRYPTION;
	if (strcmp(a->default_key, b->default_key) != 0 ||
	    strcmp(a->default_key_id, b->default_key_id) != 0)
		fields |= VOLUME_FIELD_DEFAULT_KEY;
	if (!is_same_recovery(a, b))
		fields |= VOLUME_FIELD_RECOVERY_KEYS;
	if (!is_same_alternates(a, b))
		fields |= VOLUME_FIELD_ALTERNATE_KEYS;
	if (a->has_encrypted_names != b->has_encrypted_names)
		fields |= VOLUME_FIELD_NAMES;
	if (!is_same_plaintext(a, b))
		fields |= VOLUME_FIELD_PLAINTEXT;
	if (a->snapshot_depth != b->snapshot_depth)
		fields |= VOLUME_FIELD_DEPTH;
	if (a->block_size != b->block_size)
		fields |= VOLUME_FIELD_BLOCK_SIZE;
	if (a->algorithm != b->algorithm)
		fields |= VOLUME_FIELD_ALGORITHM;
	if (a->delete_sealed != b->delete_sealed)
		fields |= VOLUME_FIELD_DELETE_SEALED;
	if (a->seal_on != b->seal_on)
		fields |= VOLUME_FIELD_SEAL_ON;
	if (!is_same_text(a->policy, b->policy))
		fields |= VOLUME_FIELD_POLICY;
	return fields;
}

const char *volume_field_name(enum volume_field field)
{
	switch (field) {
	case VOLUME_FIELD_VOLUME:
		return "volume";
	case VOLUME_FIELD_ENCRYPTION:
		return "encryption";
	case VOLUME_FIELD_DEFAULT_KEY:
		return "default_key";
	case VOLUME_FIELD_RECOVERY_KEYS:
		return "recovery_keys";
	case VOLUME_FIELD_NAMES:
		return "names";
	case VOLUME_FIELD_PLAINTEXT:
		return "plaintext_snapshots";
	case VOLUME_FIELD_DEPTH:
		return "snapshot_depth";
	case VOLUME_FIELD_BLOCK_SIZE:
		return "block_size";
	case VOLUME_FIELD_ALGORITHM:
		return "algorithm";
	case VOLUME_FIELD_DELETE_SEALED:
		return "delete_sealed";
	case VOLUME_FIELD_SEAL_ON:
		return "seal_on";
	case VOLUME_FIELD_POLICY:
		return "policy";
	case VOLUME_FIELD_ALTERNATE_KEYS:
		return "alternate_keys";
	}
	return "unknown";
}

/* Words with blanks between them, cut to SIZE. */
static void append(char *text, size_t size, const char *word)
{
	const size_t used = strlen(text);

	snprintf(text + used, size - used, "%s%s", used ? " " : "", word);
}

static void list_text(const struct volume_record *record, enum volume_field field, char *text,
		      size_t size)
{
	text[0] = '\0';
	if (field == VOLUME_FIELD_RECOVERY_KEYS) {
		for (size_t i = 0; i < record->recovery_key_count; i++)
			append(text, size, record->recovery_keys[i].id);
	} else if (field == VOLUME_FIELD_ALTERNATE_KEYS) {
		for (size_t i = 0; i < record->alternate_key_count; i++)
			append(text, size, record->alternate_keys[i].uri);
	} else {
		for (size_t i = 0; i < record->plaintext_snapshot_count; i++)
			append(text, size, record->plaintext_snapshots[i].name);
	}
	if (text[0] == '\0')
		append(text, size, "none");
}

void volume_field_text(const struct volume_record *record, enum volume_field field, char *text,
		       size_t size)
{
	switch (field) {
	case VOLUME_FIELD_VOLUME: {
		char id[UUID_TEXT_SIZE];

		uuid_format(&record->volume, id);
		snprintf(text, size, "%s", id);
		break;
	}
	case VOLUME_FIELD_ENCRYPTION:
		snprintf(text, size, "%s", record->is_encrypted ? "on" : "off");
		break;
	case VOLUME_FIELD_DEFAULT_KEY:
		snprintf(text, size, "%s",
			 record->default_key[0] != '\0' ? record->default_key : "none");
		break;
	case VOLUME_FIELD_NAMES:
		snprintf(text, size, "%s", record->has_encrypted_names ? "encrypted" : "plain");
		break;
	case VOLUME_FIELD_DEPTH:
		snprintf(text, size, "%u", record->snapshot_depth);
		break;
	case VOLUME_FIELD_BLOCK_SIZE:
		snprintf(text, size, "%u", record->block_size);
		break;
	case VOLUME_FIELD_ALGORITHM:
		snprintf(text, size, "%s", volume_algorithm_name(record->algorithm));
		break;
	case VOLUME_FIELD_DELETE_SEALED:
		snprintf(text, size, "%s", delete_sealed_name(record->delete_sealed));
		break;
	case VOLUME_FIELD_SEAL_ON:
		snprintf(text, size, "%s", seal_on_name(record->seal_on));
		break;
	case VOLUME_FIELD_POLICY:
		snprintf(text, size, "%s", record->policy ? record->policy : "none");
		break;
	case VOLUME_FIELD_ALTERNATE_KEYS:
	case VOLUME_FIELD_RECOVERY_KEYS:
	case VOLUME_FIELD_PLAINTEXT:
		list_text(record, field, text, size);
		break;
	}
}
