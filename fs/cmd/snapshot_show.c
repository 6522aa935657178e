/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot show: everything known about snapshots. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/human.h"
#include "fs/cmd/session.h"
#include "fs/cmd/snapshot_row.h"
#include "fs/control/changes.h"
#include "fs/control/seal.h"
#include "fs/store/key_list.h"

/* Collects into OBJECTS what is to be printed, in the form of packaging/schema/snapshot-show.json. */
struct collecting {
	struct session *session;
	const struct snapshot_row *row;
	struct json_object *data_keys;
	struct json_object *needed_by;
};

static void add_pairs(struct json_object *object, const char *name, const struct text_pairs *pairs)
{
	struct json_object *map = document_new_object();

	for (size_t i = 0; i < pairs->count; i++)
		document_add_text(map, pairs->pairs[i].name, pairs->pairs[i].value);
	document_add(object, name, map);
}

static void add_slot(struct session *session, const struct slot *slot, struct json_object *slots)
{
	struct json_object *object = document_new_object();
	int64_t since_s = 0;

	document_add_uuid(object, "slot", &slot->slot);
	document_add_text(object, "role", slot_role_name(slot->role));
	document_add_text(object, "provider", slot->provider);
	document_add_text(object, "key_id", slot->key_id);
	document_add_text(object, "key_alias", slot->key_alias[0] == '\0' ? NULL : slot->key_alias);
	document_add_text(
		object, "state",
		key_state_name(trust_key_state(session->access.trust, slot->key_id, &since_s)));
	document_add_bool(object, "configured", kms_can_reach(session->access.kms, slot));
	add_pairs(object, "access", &slot->access);
	document_append(slots, object);
}

static bool is_trusted(struct session *session, const struct key_record *record,
		       enum trust_origin origin)
{
	struct dek_pin pin = { 0 };

	return trust_origin_is_trusted(origin) ||
	       (trust_dek_pin(session->access.trust, &record->volume, &record->dek, &pin) == 0 &&
		pin.is_trusted);
}

static void add_data_key(struct collecting *collecting, const struct key_record *record,
			 enum trust_origin origin, bool is_own)
{
	struct json_object *object = document_new_object();
	struct json_object *slots = document_new_array();

	document_add_uuid(object, "id", &record->dek);
	document_add_bool(object, "own", is_own);
	document_add_number(object, "generation", record->generation);
	document_add_time(object, "created", record->created_s);
	document_add_time(object, "period_start", record->period_start_s);
	document_add_bool(object, "trusted", is_trusted(collecting->session, record, origin));
	document_add_null(object, "writer");
	for (size_t i = 0; i < record->slot_count; i++)
		add_slot(collecting->session, &record->slots[i], slots);
	document_add(object, "slots", slots);
	document_append(collecting->data_keys, object);
}

static bool contains(const struct uuid *ids, size_t count, const struct uuid *id)
{
	for (size_t i = 0; i < count; i++)
		if (uuid_equal(&ids[i], id))
			return true;
	return false;
}

static void add_needed_by(struct json_object *list, const struct uuid *ids, size_t count)
{
	char text[UUID_TEXT_SIZE];

	for (size_t i = 0; i < count; i++) {
		uuid_format(&ids[i], text);
		document_append_text(list, text);
	}
}

/* A key of this snapshot, or one that a file of it needs. */
static int collect_key(void *arg, const struct uuid *dek, const struct key_record *record,
		       enum trust_origin origin, int error)
{
	struct collecting *collecting = arg;
	struct uuid *needed_by = NULL;
	size_t count = 0;
	bool is_own = false;
	int r = 0;

	if (error < 0)
		return 0;
	r = key_list_needed_by(collecting->session->store, dek, &needed_by, &count);
	if (r < 0)
		return r;
	is_own = uuid_equal(&record->snapshot, &collecting->row->id);
	if (is_own)
		add_needed_by(collecting->needed_by, needed_by, count);
	if (is_own || contains(needed_by, count, &collecting->row->id))
		add_data_key(collecting, record, origin, is_own);
	free(needed_by);
	return 0;
}

static int collect(struct session *session, const struct snapshot_row *row,
		   struct json_object *object)
{
	struct collecting collecting = {
		.session = session,
		.row = row,
		.data_keys = document_new_array(),
		.needed_by = document_new_array(),
	};
	const bool has_keys = row->state != SNAPSHOT_FOREIGN && row->is_encrypted;
	const int r = has_keys ? key_list_each(session->store, collect_key, &collecting) : 0;

	snapshot_row_json(row, object);
	if (row->period_s == 0)
		document_add_null(object, "period_s");
	else
		document_add_number(object, "period_s", (uint64_t)row->period_s);
	document_add(object, "data_keys", collecting.data_keys);
	document_add(object, "needed_by", collecting.needed_by);
	if (row->has_seal) {
		struct json_object *seal = document_new_object();

		seal_document(&row->seal, seal);
		document_add(object, "seal", seal);
	} else {
		document_add_null(object, "seal");
	}
	return r;
}

/* ---- Output ------------------------------------------------------------------------------------------- */

static void print_keys(const struct json_object *data_keys)
{
	for (size_t i = 0; i < document_length(data_keys); i++) {
		const struct json_object *key = document_element(data_keys, i);
		const struct json_object *slots = document_member(key, "slots");

		printf("Data key:          %s, generation %" PRIu64 "%s%s\n",
		       document_text(key, "id"), document_number(key, "generation"),
		       document_is_true(key, "own") ? ""
						    : ", of a file linked from another snapshot",
		       document_is_true(key, "trusted") ? "" : ", not trusted for writing");
		for (size_t k = 0; k < document_length(slots); k++) {
			const struct json_object *slot = document_element(slots, k);
			const char *principal = document_text(document_member(slot, "access"),
							      "principal");

			printf("  %s: %s (%s)%s%s%s\n", document_text(slot, "role"),
			       document_text(slot, "key_id"), document_text(slot, "state"),
			       principal == NULL ? "" : ", written as ",
			       principal == NULL ? "" : principal,
			       document_is_true(slot, "configured")
				       ? ""
				       : ", not configured on this host");
		}
	}
}

static void print_labels(const struct labels_record *labels)
{
	char time[HUMAN_SIZE];

	for (size_t i = 0; i < labels->tag_count; i++)
		printf("Tag:               %s\n", labels->tags[i]);
	for (size_t i = 0; i < labels->hold_count; i++) {
		const struct label_hold *hold = &labels->holds[i];

		printf("Hold:              %s, since %s%s%s\n", hold->name,
		       human_time(hold->since_s, time), hold->reason[0] == '\0' ? "" : ": ",
		       hold->reason);
	}
	if (labels->keep_until_s > 0)
		printf("Kept until:        %s\n", human_time(labels->keep_until_s, time));
}

static void print_text(const struct snapshot_row *row, const struct json_object *object)
{
	char created[HUMAN_SIZE];
	char size[HUMAN_SIZE];
	char *keys = snapshot_row_keys(row);

	printf("Snapshot:          %s\n", row->name);
	printf("Id:                %s\n",
	       document_text(object, "id") == NULL ? "-" : document_text(object, "id"));
	printf("Kind:              %s\n", snapshot_kind_word(row->kind));
	printf("State:             %s\n", snapshot_state_name(row->state));
	printf("Created:           %s\n", human_time(row->created_s, created));
	if (row->has_seal) {
		char root[SEAL_ROOT_TEXT_SIZE];

		seal_root_format(row->seal.root, root);
		printf("Sealed:            %s, number %" PRIu64 "\n",
		       human_time(row->seal.record.sealed_s, created), row->seal.record.sequence);
		printf("Root:              %s\n", root);
	}
	if (snapshot_row_was(row) != NULL)
		printf("Was:               %s\n", snapshot_row_was(row));
	if (row->is_counted)
		printf("Size:              %s in %" PRIu64 " files\n",
		       human_bytes(row->usage.bytes, size), row->usage.files);
	printf("Encryption Key ID: %s\n", keys == NULL ? "" : keys);
	if (row->writer[0] != '\0')
		printf("Writer:            %s%s\n", row->writer,
		       row->is_trusted ? "" : " (origin not verified)");
	print_labels(&row->labels);
	print_keys(document_member(object, "data_keys"));
	free(keys);
}

static int show_one(struct session *session, const char *name, struct json_object *list)
{
	struct snapshot *snapshot = NULL;
	struct snapshot_row row = { 0 };
	struct store_error error = { 0 };
	struct json_object *object = NULL;
	int fd = -1;
	int r = change_find_snapshot(session->store, name, &snapshot, &fd, &error);

	if (r < 0)
		return session_fail(session, &error);
	r = snapshot_row_read(session->store, snapshot, fd, &row);
	snapshot_put(snapshot);
	close(fd);
	if (r == 0) {
		object = document_new_object();
		r = collect(session, &row, object);
		if (r == 0 && !session->invocation->is_json) {
			printf("%s", document_length(list) == 0 ? "" : "\n");
			print_text(&row, object);
		}
		document_append(list, object);
		snapshot_row_free(&row);
	}
	return r < 0 ? fail(session->invocation, EXIT_STORAGE, "snapshot %s: %s", name,
			    strerror(-r))
		     : 0;
}

int cmd_snapshot_show(struct invocation *invocation)
{
	struct json_object *list = document_new_array();
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_all(&session, operand(invocation, 0), STORE_READ);
	for (int i = 1; r == 0 && i < invocation->operand_count; i++)
		r = show_one(&session, operand(invocation, i), list);
	if (r == 0 && invocation->is_json) {
		CLEANUP(document_cleanup)
		struct json_object *output = document_new_output("snapcrypt.snapshot-show/1");

		document_add_uuid(output, "volume", &store_volume(session.store)->volume);
		document_add_path(output, "backing", session.access.backing);
		document_add(output, "snapshots", TAKE(list));
		document_print(output, stdout);
	}
	document_free(list);
	session_close(&session);
	return r;
}
