/* SPDX-License-Identifier: Apache-2.0 */
/* One slot of a key record: its header as JSON text, and the small text maps in it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "meta/records/slot.h"

static const char *const role_names[] = {
	[SLOT_PRIMARY] = "primary",
	[SLOT_ALTERNATE] = "alternate",
	[SLOT_RECOVERY] = "recovery",
};
static const char *const header_known[] = { "format",    "volume",  "snapshot", "dek",
					    "slot",      "role",    "provider", "key_id",
					    "key_alias", "wrapped", "access",   "parameters",
					    "critical",  NULL };

const char *slot_role_name(enum slot_role role)
{
	return role_names[role];
}

const char *text_pairs_get(const struct text_pairs *pairs, const char *name)
{
	for (size_t i = 0; i < pairs->count; i++) {
		if (strcmp(pairs->pairs[i].name, name) == 0)
			return pairs->pairs[i].value;
	}
	return NULL;
}

static struct text_pair *pair_for(struct text_pairs *pairs, const char *name)
{
	for (size_t i = 0; i < pairs->count; i++) {
		if (strcmp(pairs->pairs[i].name, name) == 0)
			return &pairs->pairs[i];
	}
	return pairs->count < SLOT_PAIRS_MAX ? &pairs->pairs[pairs->count++] : NULL;
}

int text_pairs_set(struct text_pairs *pairs, const char *name, const char *value)
{
	struct text_pair *pair;

	if (name[0] == '\0' || strlen(name) >= sizeof(pair->name) ||
	    strlen(value) >= sizeof(pair->value))
		return -EINVAL;
	pair = pair_for(pairs, name);
	if (!pair)
		return -ENOSPC;
	strcpy(pair->name, name);
	strcpy(pair->value, value);
	return 0;
}

static void draft_pairs(struct draft *draft, const char *name, const struct text_pairs *pairs)
{
	struct draft inner;

	draft_begin(&inner);
	for (size_t i = 0; i < pairs->count; i++)
		draft_text(&inner, pairs->pairs[i].name, pairs->pairs[i].value);
	if (inner.error)
		draft->error = draft->error ? draft->error : inner.error;
	draft_add(draft, name, TAKE(inner.object));
}

static void read_pairs(struct fields *fields, const char *name, struct text_pairs *pairs)
{
	struct fields inner;

	fields_object(fields, name, &inner);
	if (!inner.error) {
		json_object_object_foreach (inner.object, key, value) {
			const char *text = json_object_get_string(value);

			if (!json_object_is_type(value, json_type_string) ||
			    strlen(text) != (size_t)json_object_get_string_len(value) ||
			    text_pairs_set(pairs, key, text) < 0)
				fields_fail(&inner, -EBADMSG);
		}
	}
	fields_fail(fields, fields_end(&inner));
}

int slot_encode_header(struct slot *slot)
{
	struct draft draft;
	char *header = NULL;
	int r;

	if (slot->wrapped_size == 0 || slot->wrapped_size > SLOT_WRAPPED_MAX)
		return -EINVAL;
	draft_begin(&draft);
	draft_number(&draft, "format", RECORD_FORMAT);
	draft_uuid(&draft, "volume", &slot->volume);
	draft_uuid(&draft, "snapshot", &slot->snapshot);
	draft_uuid(&draft, "dek", &slot->dek);
	draft_uuid(&draft, "slot", &slot->slot);
	draft_text(&draft, "role", role_names[slot->role]);
	draft_text(&draft, "provider", slot->provider);
	draft_text(&draft, "key_id", slot->key_id);
	if (slot->key_alias[0] != '\0')
		draft_text(&draft, "key_alias", slot->key_alias);
	draft_bytes(&draft, "wrapped", (struct bytes){ slot->wrapped, slot->wrapped_size });
	draft_pairs(&draft, "parameters", &slot->parameters);
	draft_pairs(&draft, "access", &slot->access);
	r = draft_end(&draft, &header);
	if (r < 0)
		return r;
	free(slot->header);
	slot->header = header;
	return 0;
}

static void read_header(struct fields *fields, struct slot *slot)
{
	fields_expect_format(fields, header_known);
	fields_uuid(fields, "volume", &slot->volume);
	fields_uuid(fields, "snapshot", &slot->snapshot);
	fields_uuid(fields, "dek", &slot->dek);
	fields_uuid(fields, "slot", &slot->slot);
	slot->role = (enum slot_role)fields_word(fields, "role", role_names,
						 ARRAY_SIZE(role_names));
	fields_text(fields, "provider", slot->provider, sizeof(slot->provider));
	fields_text(fields, "key_id", slot->key_id, sizeof(slot->key_id));
	if (fields_has(fields, "key_alias"))
		fields_text(fields, "key_alias", slot->key_alias, sizeof(slot->key_alias));
	slot->wrapped_size = fields_bytes_upto(fields, "wrapped", slot->wrapped,
					       sizeof(slot->wrapped));
	read_pairs(fields, "parameters", &slot->parameters);
	read_pairs(fields, "access", &slot->access);
	if (slot->wrapped_size == 0 || slot->provider[0] == '\0' || slot->key_id[0] == '\0')
		fields_fail(fields, -EBADMSG);
}

int slot_decode_header(struct slot *slot)
{
	struct fields fields;

	fields_parse(&fields, bytes_from_text(slot->header));
	read_header(&fields, slot);
	return fields_end(&fields);
}
