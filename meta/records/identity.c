/* SPDX-License-Identifier: Apache-2.0 */
/* Identities of snapshot-level directories. */
#include "meta/records/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "meta/records/fields.h"
#include "meta/records/record.h"

static const char *const kind_names[] = {
	[IDENTITY_SNAPSHOT] = "snapshot",
	[IDENTITY_STREAM] = "stream",
	[IDENTITY_ROOT] = "root",
};
static const char *const encryption_names[] = { "off", "on" };
static const char *const known[] = { "type", "format",   "volume",     "snapshot",
				     "kind", "created",  "dek",        "period_s",
				     "mac",  "critical", "encryption", NULL };

const char *identity_kind_name(enum identity_kind kind)
{
	return kind_names[kind];
}

void identity_free(struct identity *identity)
{
	free(identity->mac_input);
	identity->mac_input = NULL;
}

static bool has_dek(const struct identity *identity)
{
	return identity->is_encrypted && identity->kind == IDENTITY_SNAPSHOT;
}

static void draft_identity(struct draft *draft, const struct identity *identity)
{
	draft_begin(draft);
	draft_record(draft, record_type_name(RECORD_IDENTITY));
	draft_uuid(draft, "volume", &identity->volume);
	draft_uuid(draft, "snapshot", &identity->snapshot);
	draft_text(draft, "kind", kind_names[identity->kind]);
	draft_time(draft, "created", identity->created_s);
	if (has_dek(identity))
		draft_uuid(draft, "dek", &identity->dek);
	else if (identity->is_encrypted)
		draft_number(draft, "period_s", (uint64_t)identity->period_s);
	else
		draft_text(draft, "encryption", "off");
}

int identity_encode_mac_input(struct identity *identity)
{
	struct draft draft;
	char *mac_input = NULL;
	int r;

	if (!has_dek(identity))
		return 0;
	draft_identity(&draft, identity);
	r = draft_end_mac_input(&draft, &mac_input);
	if (r < 0)
		return r;
	free(identity->mac_input);
	identity->mac_input = mac_input;
	return 0;
}

int identity_encode(const struct identity *identity, char **ret_line)
{
	struct draft draft;

	if (has_dek(identity))
		return identity->mac_input
			       ? fields_join_mac(identity->mac_input, identity->mac, ret_line)
			       : -EINVAL;
	draft_identity(&draft, identity);
	return draft_end(&draft, ret_line);
}

static void read_identity(struct fields *fields, struct identity *identity)
{
	fields_expect(fields, record_type_name(RECORD_IDENTITY), known);
	fields_uuid(fields, "volume", &identity->volume);
	fields_uuid(fields, "snapshot", &identity->snapshot);
	identity->kind = (enum identity_kind)fields_word(fields, "kind", kind_names,
							 ARRAY_SIZE(kind_names));
	identity->created_s = fields_time(fields, "created");
	identity->is_encrypted = true;
	if (fields_has(fields, "encryption"))
		identity->is_encrypted = fields_word(fields, "encryption", encryption_names,
						     ARRAY_SIZE(encryption_names)) == 1;
	if (has_dek(identity))
		fields_uuid(fields, "dek", &identity->dek);
	else if (fields_has(fields, "dek") || fields_has(fields, "mac"))
		fields_fail(fields, -EBADMSG);
	if (identity->is_encrypted && identity->kind != IDENTITY_SNAPSHOT)
		identity->period_s = (int64_t)fields_number(fields, "period_s", 1,
							    FIELDS_NUMBER_MAX);
	else if (fields_has(fields, "period_s"))
		fields_fail(fields, -EBADMSG);
}

int identity_decode(struct bytes line, struct identity *ret_identity)
{
	struct identity identity = { 0 };
	struct fields fields;
	int r;

	fields_parse(&fields, line);
	read_identity(&fields, &identity);
	r = fields_end(&fields);
	if (r == 0 && has_dek(&identity))
		r = fields_split_mac(line, &identity.mac_input, identity.mac);
	if (r < 0)
		return r;
	*ret_identity = identity;
	return 0;
}
