/* SPDX-License-Identifier: Apache-2.0 */
/* volume show, volume trust: settings, who signed them, and what this host believes. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/session.h"

#define FIELD_TEXT_SIZE 1024

/* What counts here, beside what is stored. */
struct comparison {
	struct store_description stored;
	struct volume_pin pin;
	bool is_pinned;
	struct volume_record configured;
	unsigned configured_fields;
	unsigned pinned_differences;
	unsigned configured_differences;
};

static void comparison_free(struct comparison *comparison)
{
	volume_record_free(&comparison->stored.record);
	volume_record_free(&comparison->configured);
	if (comparison->is_pinned)
		volume_pin_free(&comparison->pin);
}

static int compare(struct session *session, struct comparison *comparison)
{
	struct access *access = &session->access;
	struct store_error error = { 0 };
	int r = store_describe(access->backing_fd, access->trust, &comparison->stored, &error);

	if (r == 0)
		r = access_expected(access, &comparison->configured, &comparison->configured_fields,
				    &error);
	if (r < 0)
		return session_fail(session, &error);
	r = trust_volume_pin(access->trust, &comparison->stored.record.volume, &comparison->pin);
	if (r < 0 && r != -ENOENT)
		return fail(session->invocation, EXIT_FAILED, "state directory %s: %s",
			    trust_state_dir(access->trust), strerror(-r));
	comparison->is_pinned = r == 0;
	comparison->configured_differences = volume_record_differences(&comparison->configured,
								       &comparison->stored.record) &
					     comparison->configured_fields;
	/* A newer record of a trusted writer replaces the pin at the next mount. */
	if (comparison->is_pinned && !trust_origin_is_trusted(comparison->stored.origin))
		comparison->pinned_differences =
			volume_record_differences(&comparison->pin.record,
						  &comparison->stored.record) &
			~comparison->configured_fields;
	return 0;
}

static void each_difference(const struct comparison *comparison,
			    void (*visit)(void *arg, const char *field, const char *stored,
					  const char *expected, const char *source),
			    void *arg)
{
	for (unsigned bit = 1; bit <= VOLUME_FIELDS_ALL; bit <<= 1) {
		const enum volume_field field = (enum volume_field)bit;
		const bool is_pinned = (comparison->pinned_differences & bit) != 0;
		const bool is_configured = (comparison->configured_differences & bit) != 0;
		char stored[FIELD_TEXT_SIZE];
		char expected[FIELD_TEXT_SIZE];

		if (!is_pinned && !is_configured)
			continue;
		volume_field_text(&comparison->stored.record, field, stored, sizeof(stored));
		volume_field_text(is_configured ? &comparison->configured : &comparison->pin.record,
				  field, expected, sizeof(expected));
		visit(arg, volume_field_name(field), stored, expected,
		      is_configured ? "configuration" : "pinned");
	}
}

/* ---- Output ------------------------------------------------------------------------------------------ */

static void add_difference(void *arg, const char *field, const char *stored, const char *expected,
			   const char *source)
{
	struct json_object *list = arg;
	struct json_object *object = document_new_object();

	document_add_text(object, "field", field);
	document_add_text(object, "stored", stored);
	document_add_text(object, "expected", expected);
	document_add_text(object, "source", source);
	document_append(list, object);
}

static void print_difference(void *arg, const char *field, const char *stored, const char *expected,
			     const char *source)
{
	FILE *stream = arg;

	fprintf(stream, "Differs:           %s: the volume says '%s', %s says '%s'\n", field,
		stored, strcmp(source, "pinned") == 0 ? "this host" : "the configuration",
		expected);
}

static void add_lists(struct json_object *output, const struct volume_record *record)
{
	struct json_object *recovery_keys = document_new_array();
	struct json_object *plaintext = document_new_array();
	struct json_object *alternate_keys = document_new_array();

	for (size_t i = 0; i < record->alternate_key_count; i++) {
		struct json_object *object = document_new_object();

		document_add_text(object, "id", record->alternate_keys[i].id);
		document_add_text(object, "uri", record->alternate_keys[i].uri);
		document_append(alternate_keys, object);
	}
	for (size_t i = 0; i < record->recovery_key_count; i++) {
		struct json_object *object = document_new_object();

		document_add_text(object, "id", record->recovery_keys[i].id);
		document_add_null(object, "file");
		document_append(recovery_keys, object);
	}
	for (size_t i = 0; i < record->plaintext_snapshot_count; i++) {
		struct json_object *object = document_new_object();

		document_add_uuid(object, "id", &record->plaintext_snapshots[i].id);
		document_add_path(object, "name", record->plaintext_snapshots[i].name);
		document_append(plaintext, object);
	}
	document_add(output, "alternate_keys", alternate_keys);
	document_add(output, "recovery_keys", recovery_keys);
	document_add(output, "plaintext_snapshots", plaintext);
}

static void print_json(const struct session *session, const struct comparison *comparison)
{
	const struct volume_record *record = &comparison->stored.record;
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.volume-show/1");
	struct json_object *differences = document_new_array();

	document_add_uuid(output, "volume", &record->volume);
	document_add_path(output, "backing", session->access.backing);
	document_add_number(output, "generation", record->generation);
	document_add_time(output, "created", record->created_s);
	document_add_text(output, "writer", comparison->stored.writer);
	document_add_bool(output, "origin_verified",
			  trust_origin_is_trusted(comparison->stored.origin));
	document_add_text(output, "host", record->host);
	document_add_text(output, "encryption", record->is_encrypted ? "on" : "off");
	document_add_text(output, "names", record->has_encrypted_names ? "encrypted" : "plain");
	document_add_text(output, "algorithm", volume_algorithm_name(record->algorithm));
	document_add_number(output, "block_size", record->block_size);
	document_add_number(output, "snapshot_depth", record->snapshot_depth);
	document_add_text(output, "default_key", record->is_encrypted ? record->default_key : NULL);
	document_add_text(output, "encryption_key_id",
			  record->is_encrypted ? record->default_key_id : NULL);
	add_lists(output, record);
	document_add_text(output, "seal_on", seal_on_name(record->seal_on));
	document_add_text(output, "delete_sealed", delete_sealed_name(record->delete_sealed));
	document_add(output, "policy",
		     record->policy == NULL
			     ? NULL
			     : document_read(record->policy, strlen(record->policy)));
	document_add_bool(output, "pinned", comparison->is_pinned);
	each_difference(comparison, add_difference, differences);
	document_add(output, "differences", differences);
	document_print(output, stdout);
}

static void print_text(const struct session *session, const struct comparison *comparison)
{
	const struct volume_record *record = &comparison->stored.record;
	const bool is_trusted = trust_origin_is_trusted(comparison->stored.origin);
	char id[UUID_TEXT_SIZE];

	uuid_format(&record->volume, id);
	printf("Volume:            %s\n", id);
	printf("Backing directory: %s\n", session->access.backing);
	printf("Settings:          generation %" PRIu64 ", written on %s\n", record->generation,
	       record->host);
	printf("Writer:            %s%s\n", comparison->stored.writer,
	       is_trusted ? "" : " (origin not verified)");
	printf("Encryption Key ID: %s\n",
	       record->is_encrypted ? record->default_key_id : "Not enabled");
	if (record->is_encrypted)
		printf("Key of new data:   %s\n", record->default_key);
	for (size_t i = 0; i < record->alternate_key_count; i++)
		printf("Alternate key:     %s\n", record->alternate_keys[i].uri);
	for (size_t i = 0; i < record->recovery_key_count; i++)
		printf("Recovery key:      %s\n", record->recovery_keys[i].id);
	printf("Names:             %s\n", record->has_encrypted_names ? "encrypted" : "plain");
	printf("Block size:        %" PRIu32 "\n", record->block_size);
	printf("Snapshot depth:    %u\n", record->snapshot_depth);
	for (size_t i = 0; i < record->plaintext_snapshot_count; i++)
		printf("Not enabled:       %s\n", record->plaintext_snapshots[i].name);
	printf("Pinned here:       %s\n", comparison->is_pinned ? "yes" : "no");
	each_difference(comparison, print_difference, stdout);
	if (!is_trusted)
		printf("Accept the writer with 'trusted_writers = %s' in the configuration, or these "
		       "settings with 'snapcrypt volume trust'.\n",
		       comparison->stored.writer);
}

int cmd_volume_show(struct invocation *invocation)
{
	struct comparison comparison = { 0 };
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_volume(&session, operand(invocation, 0));
	/* Recovery keys of the configuration are read through their provider. */
	if (r == 0)
		r = session_open_kms(&session);
	if (r == 0)
		r = compare(&session, &comparison);
	if (r == 0 && invocation->is_json)
		print_json(&session, &comparison);
	else if (r == 0)
		print_text(&session, &comparison);
	comparison_free(&comparison);
	session_close(&session);
	return r;
}

/* ---- trust -------------------------------------------------------------------------------------------- */

static int ask_to_trust(struct invocation *invocation, const struct comparison *comparison)
{
	const struct volume_record *record = &comparison->stored.record;
	char question[WRITER_FINGERPRINT_SIZE + KEY_ID_SIZE + 128];

	if (!invocation->is_quiet)
		each_difference(comparison, print_difference, stderr);
	snprintf(question, sizeof(question), "Trust these settings, signed by %s, with key %s?",
		 comparison->stored.writer,
		 record->is_encrypted ? record->default_key_id : "Not enabled");
	return confirm(invocation, question);
}

static void print_trusted(const struct session *session, const struct comparison *comparison)
{
	const struct volume_record *record = &comparison->stored.record;

	if (session->invocation->is_json) {
		CLEANUP(document_cleanup)
		struct json_object *output = document_new_output("snapcrypt.volume-trust/1");
		struct json_object *differences = document_new_array();

		document_add_uuid(output, "volume", &record->volume);
		document_add_path(output, "backing", session->access.backing);
		document_add_number(output, "generation", record->generation);
		document_add_text(output, "writer", comparison->stored.writer);
		each_difference(comparison, add_difference, differences);
		document_add(output, "accepted", differences);
		document_print(output, stdout);
	} else if (!session->invocation->is_quiet) {
		printf("Pinned: generation %" PRIu64 " of %s\n", record->generation,
		       session->access.backing);
	}
}

int cmd_volume_trust(struct invocation *invocation)
{
	struct comparison comparison = { 0 };
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_volume(&session, operand(invocation, 0));
	if (r == 0)
		r = session_open_kms(&session);
	if (r == 0)
		r = compare(&session, &comparison);
	if (r == 0)
		r = ask_to_trust(invocation, &comparison);
	if (r == 0)
		r = session_audit(&session, AUDIT_TRUST, &comparison.stored.record.volume, NULL,
				  "settings of the volume");
	if (r == 0) {
		const int error = trust_pin_volume(session.access.trust, &comparison.stored.record,
						   session.access.backing);

		if (error < 0)
			r = fail(invocation, EXIT_FAILED, "state directory %s: %s",
				 trust_state_dir(session.access.trust), strerror(-error));
	}
	if (r == 0)
		print_trusted(&session, &comparison);
	comparison_free(&comparison);
	session_close(&session);
	return r;
}
