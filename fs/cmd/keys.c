/* SPDX-License-Identifier: Apache-2.0 */
/* keys list, show, test: what is known about keys, and whether this host may use them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/human.h"
#include "fs/cmd/key_rows.h"
#include "fs/cmd/key_uri.h"
#include "fs/cmd/keys_policy.h"
#include "fs/cmd/table.h"

#define PROBE_TIMEOUT_MS 30000
#define VERSION_SIZE     96

const struct option_spec options_keys_list[] = {
	{ "live", 0, NULL, "ask the key services now" },
	{ NULL, 0, NULL, NULL },
};

const struct option_spec options_keys_test[] = {
	{ "print-policy", 0, NULL, "print the smallest policy that this host needs; ask nobody" },
	{ "role", 0, "ROLE", "of that policy: read-write, write-only or restore-only" },
	{ NULL, 0, NULL, NULL },
};

/* ---- list ---------------------------------------------------------------------------------------- */

/* The version, and whether what is under it should be moved to the present one. */
static const char *version_text(const struct key_row *row, char text[static VERSION_SIZE])
{
	snprintf(text, VERSION_SIZE, "%s%s", row->info.version[0] == '\0' ? "-" : row->info.version,
		 row->is_old || row->info.has_old_version ? " (rewrap recommended)" : "");
	return text;
}

static int print_rows(struct invocation *invocation, const struct key_rows *rows, bool has_volume)
{
	static const struct table_column columns[] = {
		{ "PROVIDER", false },      { "STATE", false },
		{ "VERSION", false },       { "AGE", true },
		{ "NEXT ROTATION", false }, { "DELETION", false },
		{ "SNAPSHOTS", true },      { "ENCRYPTION KEY ID", false },
	};
	CLEANUP(table_cleanup) struct table *table = NULL;
	int r = table_new(columns, ARRAY_SIZE(columns), &table);

	for (size_t i = 0; r == 0 && i < rows->count; i++) {
		const struct key_row *row = &rows->rows[i];
		char version[VERSION_SIZE];
		char age[HUMAN_SIZE];
		char rotation[HUMAN_SIZE];
		char deletion[HUMAN_SIZE];
		char snapshots[HUMAN_SIZE];

		r = table_add(table,
			      (const char *const[]){
				      row->provider, key_state_name(row->info.state),
				      version_text(row, version),
				      human_age(row->info.created_s, age),
				      human_time(row->info.next_rotation_s, rotation),
				      human_time(row->info.deletion_s, deletion),
				      has_volume ? human_number(row->snapshots, snapshots) : "-",
				      row->info.key_id[0] == '\0' ? row->uri : row->info.key_id });
	}
	if (r < 0)
		return fail(invocation, EXIT_FAILED, "listing: %s", strerror(-r));
	table_print(table);
	return EXIT_OK;
}

static void print_rows_json(const struct session *session, const struct key_rows *rows)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.keys-list/1");
	struct json_object *list = document_new_array();

	document_add_uuid(output, "volume",
			  session->store == NULL ? NULL : &store_volume(session->store)->volume);
	for (size_t i = 0; i < rows->count; i++) {
		struct json_object *object = document_new_object();

		key_row_json(&rows->rows[i], object);
		if (session->store == NULL)
			document_add_null(object, "snapshots");
		document_append(list, object);
	}
	document_add(output, "keys", list);
	document_print(output, stdout);
}

/* Configuration, trust and KEKs, with the volume if one is named. */
static int open_for_keys(struct session *session, const char *volume)
{
	int r = 0;

	if (volume != NULL)
		return session_open_all(session, volume, STORE_READ);
	r = session_open_config(session);
	if (r == 0)
		r = session_open_trust(session);
	return r != 0 ? r : session_open_kms(session);
}

int cmd_keys_list(struct invocation *invocation)
{
	struct session session;
	struct key_rows rows = { 0 };
	int r = 0;

	session_init(&session, invocation);
	r = open_for_keys(&session, operand(invocation, 0));
	if (r == 0) {
		int error = key_rows_collect(&session, option_is_set(invocation, "live"), &rows);

		if (error == 0 && session.store != NULL)
			error = key_rows_add_volume(&session, &rows);
		if (error < 0)
			r = fail(invocation, EXIT_FAILED, "keys: %s", strerror(-error));
	}
	if (r == 0 && invocation->is_json)
		print_rows_json(&session, &rows);
	else if (r == 0)
		r = print_rows(invocation, &rows, session.store != NULL);
	key_rows_free(&rows);
	session_close(&session);
	return r;
}

/* ---- Naming one key --------------------------------------------------------------------------------- */

static int take_uri(struct session *session, const char *text, struct key_row *ret_row)
{
	struct kms_error error = { 0 };
	int r;

	*ret_row = (struct key_row){ 0 };
	if (strlen(text) >= sizeof(ret_row->uri))
		return fail(session->invocation, EXIT_USAGE, "the URI is too long");
	strcpy(ret_row->uri, text);
	strcpy(ret_row->provider, kms_provider_for_uri(text)->name);
	r = access_add_key(session->access.config, session->access.kms, text, &error);
	return r < 0 ? fail_key(session->invocation, r, &error) : 0;
}

/* The row of a key that is named by its URI or its Encryption Key ID. */
static int find_key(struct session *session, const char *text, struct key_rows *rows,
		    struct key_row *ret_row)
{
	struct invocation *invocation = session->invocation;
	const struct key_row *found = NULL;
	struct kms_error error = { 0 };
	int r = 0;

	if (key_uri_is_uri(text))
		return take_uri(session, text, ret_row);
	r = key_rows_collect(session, false, rows);
	if (r < 0)
		return fail(invocation, EXIT_FAILED, "keys: %s", strerror(-r));
	found = key_rows_find(rows, text);
	if (found != NULL && found->uri[0] != '\0') {
		*ret_row = *found;
		r = access_add_key(session->access.config, session->access.kms, found->uri, &error);
		return r < 0 ? fail_key(invocation, r, &error) : 0;
	}
	if (kms_provider_for_uri(text) == kms_provider_by_name("pkcs11"))
		return take_uri(session, text, ret_row);
	fail(invocation, EXIT_USAGE, "key %s: this host does not know where to ask for it", text);
	advise(invocation,
	       "name its URI, or add a [key] section; 'snapcrypt keys list' shows keys");
	return EXIT_USAGE;
}

static void print_key(const struct invocation *invocation, const char *schema,
		      const struct key_row *row, const char *outcome)
{
	char text[HUMAN_SIZE];

	if (invocation->is_json) {
		CLEANUP(document_cleanup) struct json_object *output = document_new_output(schema);

		key_row_json(row, output);
		document_add_null(output, "snapshots");
		document_print(output, stdout);
		return;
	}
	if (invocation->is_quiet)
		return;
	printf("Encryption Key ID: %s\n", row->info.key_id);
	printf("URI:               %s\n", row->uri);
	printf("Provider:          %s\n", row->provider);
	printf("State:             %s\n", key_state_name(row->info.state));
	if (row->info.version[0] != '\0')
		printf("Version:           %s\n", row->info.version);
	if (row->info.created_s != 0)
		printf("Created:           %s\n", human_time(row->info.created_s, text));
	if (row->info.created_s != 0)
		printf("Age:               %s\n", human_age(row->info.created_s, text));
	if (row->info.has_old_version)
		printf("Older versions:    in use; rewrap recommended\n");
	if (row->info.next_rotation_s != 0)
		printf("Next rotation:     %s\n", human_time(row->info.next_rotation_s, text));
	if (row->info.deletion_s != 0)
		printf("Deletion:          %s\n", human_time(row->info.deletion_s, text));
	if (outcome != NULL)
		printf("%s\n", outcome);
}

int cmd_keys_show(struct invocation *invocation)
{
	struct session session;
	struct key_rows rows = { 0 };
	struct key_row row = { 0 };
	struct kms_error error = { 0 };
	int r = 0;

	session_init(&session, invocation);
	r = open_for_keys(&session, NULL);
	if (r == 0)
		r = find_key(&session, operand(invocation, 0), &rows, &row);
	if (r == 0) {
		const int result = kms_describe(session.access.kms, row.uri, &row.info, &error);

		if (result < 0)
			r = fail_key(invocation, result, &error);
	}
	if (r == 0)
		print_key(invocation, "snapcrypt.keys-show/1", &row, NULL);
	key_rows_free(&rows);
	session_close(&session);
	return r;
}

/* ---- test ------------------------------------------------------------------------------------------ */

/* Running mounts probe at once, so that reads resume without waiting for the interval. */
static void let_mounts_probe(struct session *session)
{
	if (session_mounts(session) != 0) {
		notice(session->invocation, "%s", session->invocation->failure.text);
		session->invocation->failure.text[0] = '\0';
		return;
	}
	for (size_t i = 0; i < session->mounts.count; i++) {
		CLEANUP(document_cleanup) struct json_object *request = document_new_object();
		CLEANUP(document_cleanup) struct json_object *reply = NULL;
		const struct control_mount *mount = &session->mounts.mounts[i];

		document_add_text(request, "command", "keys test");
		if (control_ask(session->mounts.directory_fd, mount->socket, request,
				PROBE_TIMEOUT_MS, &reply, NULL) < 0)
			notice(session->invocation, "the mount at %s did not answer",
			       control_mountpoint(mount));
	}
}

int cmd_keys_test(struct invocation *invocation)
{
	struct session session;
	struct key_rows rows = { 0 };
	struct key_row row = { 0 };
	struct kms_error error = { 0 };
	int r = 0;

	session_init(&session, invocation);
	r = open_for_keys(&session, NULL);
	if (r == 0)
		r = find_key(&session, operand(invocation, 0), &rows, &row);
	if (r == 0 && option_is_set(invocation, "print-policy")) {
		r = keys_print_policy(&session, row.uri, option_value(invocation, "role"));
		key_rows_free(&rows);
		session_close(&session);
		return r;
	}
	if (r == 0)
		let_mounts_probe(&session);
	if (r == 0) {
		const int result = kms_test_key(session.access.kms, row.uri, &row.info, &error);

		if (result < 0)
			r = fail_key(invocation, result, &error);
	}
	if (r == 0)
		print_key(invocation, "snapcrypt.keys-test/1", &row, "This host can use the key.");
	key_rows_free(&rows);
	session_close(&session);
	return r;
}
