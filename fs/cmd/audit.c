/* SPDX-License-Identifier: Apache-2.0 */
/* audit show, audit verify. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/session.h"
#include "fs/cmd/table.h"
#include "kms/audit.h"
#include "meta/key_id.h"
#include "meta/timestamp.h"

const struct option_spec options_audit_show[] = {
	{ "key", 0, "KEYID", "only lines about this Encryption Key ID" },
	{ "since", 0, "TIME", "only those written at or after" },
	{ "until", 0, "TIME", "only those written before" },
	{ "volume", 0, "VOLUME", "only those about this volume" },
	{ "operation", 0, "OPERATION", "only these, as unwrap or revocation" },
	{ NULL, 0, NULL, NULL },
};

const struct option_spec options_audit_verify[] = {
	{ "expect-head", 0, "HASH", "hash of a line that must be there: one printed earlier" },
	{ NULL, 0, NULL, NULL },
};

/* ---- Selecting ----------------------------------------------------------------------------------- */

struct selection {
	const char *key_id;
	const char *operation;
	int64_t since_s;
	int64_t until_s;
	char volume[UUID_TEXT_SIZE]; /* "": any */
};

static int read_time(struct invocation *invocation, const char *option, int64_t otherwise,
		     int64_t *ret_time_s)
{
	const char *text = option_value(invocation, option);

	*ret_time_s = otherwise;
	if (text != NULL && timestamp_parse_local(text, ret_time_s) < 0)
		return fail(invocation, EXIT_USAGE,
			    "--%s %s: write RFC 3339 or YYYY-MM-DD[ HH:MM[:SS]]", option, text);
	return 0;
}

/* A UUID needs no volume: it may be gone. */
static int read_volume(struct session *session, const char *text,
		       char volume[static UUID_TEXT_SIZE])
{
	struct store_description description = { 0 };
	struct store_error error = { 0 };
	struct uuid id;
	int r = 0;

	if (uuid_parse(text, &id) < 0) {
		r = session_open_volume(session, text);
		if (r != 0)
			return r;
		if (store_describe(session->access.backing_fd, session->access.trust, &description,
				   &error) < 0)
			return session_fail(session, &error);
		id = description.record.volume;
		volume_record_free(&description.record);
	}
	uuid_format(&id, volume);
	return 0;
}

static int read_operation(struct invocation *invocation, const char **ret_operation)
{
	const char *text = option_value(invocation, "operation");

	*ret_operation = text;
	for (int i = AUDIT_WRAP; text != NULL && i <= AUDIT_POLICY; i++)
		if (strcmp(text, audit_operation_name((enum audit_operation)i)) == 0)
			return 0;
	return text == NULL ? 0
			    : fail(invocation, EXIT_USAGE,
				   "--operation %s: see 'Audit operations' in snapcrypt(1)", text);
}

static int read_selection(struct session *session, struct selection *selection)
{
	struct invocation *invocation = session->invocation;
	const char *volume = option_value(invocation, "volume");
	int r = read_time(invocation, "since", INT64_MIN, &selection->since_s);

	selection->key_id = option_value(invocation, "key");
	if (r == 0)
		r = read_time(invocation, "until", INT64_MAX, &selection->until_s);
	if (r == 0)
		r = read_operation(invocation, &selection->operation);
	if (r == 0 && volume != NULL)
		r = read_volume(session, volume, selection->volume);
	return r;
}

static bool is_equal(const struct json_object *entry, const char *member, const char *wanted)
{
	const char *text = document_text(entry, member);

	return text != NULL && strcmp(text, wanted) == 0;
}

/* An id without version selects every version of it. */
static bool is_about_key(const struct json_object *entry, const char *wanted)
{
	const char *key_id = document_text(entry, "key_id");

	return key_id != NULL && key_id_matches(key_id, wanted);
}

static bool is_selected(const struct selection *selection, const struct json_object *entry)
{
	const char *text = document_text(entry, "time");
	struct timespec time = { 0 };

	if (text == NULL || timestamp_parse(text, &time) < 0)
		time.tv_sec = 0;
	if (time.tv_sec < selection->since_s || time.tv_sec >= selection->until_s)
		return false;
	if (selection->operation != NULL && !is_equal(entry, "operation", selection->operation))
		return false;
	if (selection->volume[0] != '\0' && !is_equal(entry, "volume", selection->volume))
		return false;
	return selection->key_id == NULL || is_about_key(entry, selection->key_id);
}

/* ---- show ---------------------------------------------------------------------------------------- */

static const struct table_column columns[] = {
	{ "TIME", false },    { "OPERATION", false },         { "OUTCOME", false },
	{ "COMMAND", false }, { "SNAPSHOT", false },          { "DATA KEY", false },
	{ "REQUEST", false }, { "ENCRYPTION KEY ID", false },
};

/* Either JSON or a table. */
struct showing {
	struct selection selection;
	struct json_object *entries;
	struct table *table;
	uint64_t shown;
};

static int add_row(struct table *table, const struct json_object *entry)
{
	static const char *const members[ARRAY_SIZE(columns)] = {
		"time",     "operation", "outcome",    "command",
		"snapshot", "data_key",  "request_id", "key_id",
	};
	const char *cells[ARRAY_SIZE(columns)];

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		cells[i] = document_text(entry, members[i]);
		if (cells[i] == NULL)
			cells[i] = "-";
	}
	return table_add(table, cells);
}

static int show_line(void *arg, const struct audit_line *line)
{
	struct showing *showing = arg;
	CLEANUP(document_cleanup) struct json_object *entry = NULL;

	if (line->text == NULL)
		return 0;
	entry = document_read(line->text, line->size);
	if (entry == NULL || !is_selected(&showing->selection, entry))
		return 0;
	showing->shown++;
	if (showing->entries == NULL)
		return add_row(showing->table, entry);
	document_append(showing->entries, TAKE(entry));
	return 0;
}

static void print_shown(struct showing *showing, const struct audit_summary *summary)
{
	CLEANUP(document_cleanup) struct json_object *output = NULL;

	if (showing->entries == NULL) {
		if (showing->shown > 0)
			table_print(showing->table);
		return;
	}
	output = document_new_output("snapcrypt.audit-show/1");
	document_add(output, "entries", showing->entries);
	document_add_number(output, "findings", summary->findings);
	document_print(output, stdout);
}

static int read_log(struct session *session, int (*see)(void *arg, const struct audit_line *line),
		    void *arg, struct audit_summary *ret_summary)
{
	struct audit_options options = { 0 };
	struct store_error error = { 0 };
	char *path = NULL;
	int r = access_audit_options(session->access.config, &options, &path, &error);

	if (r < 0)
		return session_fail(session, &error);
	r = audit_read(&options, see, arg, ret_summary);
	if (r < 0)
		r = fail(session->invocation, EXIT_FAILED, "audit log %s: %s", path, strerror(-r));
	free(path);
	return r;
}

int cmd_audit_show(struct invocation *invocation)
{
	struct audit_summary summary = { 0 };
	struct showing showing = { 0 };
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_config(&session);
	if (r == 0)
		r = read_selection(&session, &showing.selection);
	if (r == 0 && invocation->is_json)
		showing.entries = document_new_array();
	else if (r == 0 && table_new(columns, ARRAY_SIZE(columns), &showing.table) < 0)
		r = fail(invocation, EXIT_FAILED, "out of memory");
	if (r == 0)
		r = read_log(&session, show_line, &showing, &summary);
	if (r == 0)
		print_shown(&showing, &summary);
	else
		document_free(showing.entries);
	if (r == 0 && summary.findings > 0)
		notice(invocation, "the audit log is not whole: see 'snapcrypt audit verify'");
	table_free(showing.table);
	session_close(&session);
	return r;
}

/* ---- verify -------------------------------------------------------------------------------------- */

struct verifying {
	const struct invocation *invocation;
	struct json_object *findings;
	struct json_object *notes;
	const char *wanted;
	bool has_wanted;
};

static void add_remark(struct json_object *array, const struct audit_line *line, const char *text)
{
	struct json_object *remark = document_new_object();

	document_add_path(remark, "file", line->file);
	document_add_number(remark, "line", line->number);
	document_add_text(remark, "text", text);
	document_append(array, remark);
}

static int verify_line(void *arg, const struct audit_line *line)
{
	struct verifying *verifying = arg;

	if (line->text != NULL && verifying->wanted != NULL && !verifying->has_wanted) {
		CLEANUP(document_cleanup)
		struct json_object *entry = document_read(line->text, line->size);

		verifying->has_wanted = entry != NULL && is_equal(entry, "hash", verifying->wanted);
	}
	if (line->finding != NULL) {
		add_remark(verifying->findings, line, line->finding);
		if (!verifying->invocation->is_json)
			printf("%s:%" PRIu64 ": %s\n", line->file, line->number, line->finding);
	}
	if (line->note != NULL) {
		add_remark(verifying->notes, line, line->note);
		if (!verifying->invocation->is_json && !verifying->invocation->is_quiet)
			printf("%s:%" PRIu64 ": %s (nothing wrong)\n", line->file, line->number,
			       line->note);
	}
	return 0;
}

static void print_verified(struct verifying *verifying, const struct audit_summary *summary)
{
	CLEANUP(document_cleanup) struct json_object *output = NULL;

	if (!verifying->invocation->is_json) {
		if (verifying->invocation->is_quiet)
			return;
		printf("Lines:    %" PRIu64, summary->lines);
		if (summary->lines > 0)
			printf(" (number %" PRIu64 " to %" PRIu64 ")", summary->first,
			       summary->last);
		printf("\nHead:     %s\nFindings: %" PRIu64 "\n", summary->head, summary->findings);
		return;
	}
	output = document_new_output("snapcrypt.audit-verify/1");
	document_add_number(output, "lines", summary->lines);
	document_add_number(output, "first", summary->first);
	document_add_number(output, "last", summary->last);
	document_add_text(output, "head", summary->head);
	document_add(output, "findings", document_share(verifying->findings));
	document_add(output, "notes", document_share(verifying->notes));
	document_print(output, stdout);
}

static void expect_head(struct verifying *verifying, struct audit_summary *summary)
{
	char text[160];

	if (verifying->wanted == NULL || verifying->has_wanted)
		return;
	snprintf(text, sizeof(text), "no line has the expected hash %.64s", verifying->wanted);
	summary->findings++;
	add_remark(verifying->findings, &(struct audit_line){ .file = "" }, text);
	if (!verifying->invocation->is_json)
		printf("%s\n", text);
}

int cmd_audit_verify(struct invocation *invocation)
{
	struct audit_summary summary = { 0 };
	struct verifying verifying = {
		.invocation = invocation,
		.findings = document_new_array(),
		.notes = document_new_array(),
		.wanted = option_value(invocation, "expect-head"),
	};
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_config(&session);
	if (r == 0)
		r = read_log(&session, verify_line, &verifying, &summary);
	if (r == 0) {
		expect_head(&verifying, &summary);
		print_verified(&verifying, &summary);
	}
	document_free(verifying.findings);
	document_free(verifying.notes);
	session_close(&session);
	if (r == 0 && summary.findings > 0) {
		fail(invocation, EXIT_FINDINGS, "the audit log is not whole: %" PRIu64 " findings",
		     summary.findings);
		advise(invocation, "compare it with a copy; somebody with write access to it "
				   "changed it, or the storage did");
		return EXIT_FINDINGS;
	}
	return r;
}
