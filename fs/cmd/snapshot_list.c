/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot list: which snapshots there are, and which keys they need. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/human.h"
#include "fs/cmd/session.h"
#include "fs/cmd/snapshot_expiry.h"
#include "fs/cmd/snapshot_row.h"
#include "fs/cmd/table.h"
#include "fs/control/changes.h"
#include "meta/timestamp.h"

const struct option_spec options_snapshot_list[] = {
	{ "key", 0, "KEYID", "only those that need this Encryption Key ID" },
	{ "tag", 0, "NAME[=VALUE]", "only those with this tag" },
	{ "since", 0, "TIME", "only those created at or after" },
	{ "until", 0, "TIME", "only those created before" },
	{ "state", 0, "STATE", "only those in this state" },
	{ "sort", 0, "COLUMN", "name (default), created, size, files or state" },
	{ NULL, 0, NULL, NULL },
};

struct selection {
	struct invocation *invocation;
	const char *key_id;
	const char *state;
	int64_t since_s;
	int64_t until_s;
	struct uuid latest; /* what these words mean, where they were given */
	struct uuid latest_any;
};

/* ---- Selecting and sorting ------------------------------------------------------------------ */

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

static int read_selection(struct invocation *invocation, struct selection *selection)
{
	int r = read_time(invocation, "since", INT64_MIN, &selection->since_s);

	selection->invocation = invocation;
	selection->key_id = option_value(invocation, "key");
	selection->state = option_value(invocation, "state");
	if (r == 0)
		r = read_time(invocation, "until", INT64_MAX, &selection->until_s);
	for (int state = SNAPSHOT_OPEN; r == 0 && selection->state != NULL; state++) {
		if (state > SNAPSHOT_DUPLICATE)
			return fail(invocation, EXIT_USAGE,
				    "--state %s: open, sealed, incomplete, foreign or duplicate",
				    selection->state);
		if (strcmp(selection->state, snapshot_state_name((enum snapshot_state)state)) == 0)
			break;
	}
	return r;
}

/* `latest` and `latest-any` are words for a snapshot here as everywhere. */
static int find_latest(struct session *session, struct selection *selection)
{
	const struct invocation *invocation = session->invocation;

	for (int i = 1; i < invocation->operand_count; i++) {
		const char *word = operand(invocation, i);
		const bool is_any = strcmp(word, "latest-any") == 0;
		struct store_error error = { 0 };
		struct snapshot *snapshot = NULL;

		if (!is_any && strcmp(word, "latest") != 0)
			continue;
		if (change_find_snapshot(session->store, word, &snapshot, NULL, &error) < 0)
			return session_fail(session, &error);
		*(is_any ? &selection->latest_any : &selection->latest) = *snapshot_id(snapshot);
		snapshot_put(snapshot);
	}
	return 0;
}

static bool is_named(const struct selection *selection, const struct snapshot_row *row)
{
	const struct invocation *invocation = selection->invocation;
	char id[UUID_TEXT_SIZE];

	if (invocation->operand_count < 2)
		return true;
	if (!uuid_is_zero(&row->id) && (uuid_equal(&row->id, &selection->latest) ||
					uuid_equal(&row->id, &selection->latest_any)))
		return true;
	uuid_format(&row->id, id);
	for (int i = 1; i < invocation->operand_count; i++)
		if (strcmp(operand(invocation, i), row->name) == 0 ||
		    strcmp(operand(invocation, i), id) == 0)
			return true;
	return false;
}

/* A name alone is any value of it. */
static bool has_tag(const struct snapshot_row *row, const char *tag)
{
	const size_t length = tag == NULL ? 0 : strlen(tag);

	for (size_t i = 0; tag != NULL && i < row->labels.tag_count; i++) {
		const char *other = row->labels.tags[i];

		if (strcmp(other, tag) == 0 ||
		    (strchr(tag, '=') == NULL && strncmp(other, tag, length) == 0 &&
		     other[length] == '='))
			return true;
	}
	return tag == NULL;
}

static bool is_selected(const struct selection *selection, const struct snapshot_row *row)
{
	if (selection->state != NULL &&
	    strcmp(selection->state, snapshot_state_name(row->state)) != 0)
		return false;
	if (!has_tag(row, option_value(selection->invocation, "tag")))
		return false;
	if (selection->key_id != NULL && !snapshot_row_needs_key(row, selection->key_id))
		return false;
	return row->created_s >= selection->since_s && row->created_s < selection->until_s &&
	       is_named(selection, row);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct snapshot_row *)a)->name,
		      ((const struct snapshot_row *)b)->name);
}

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int by_created(const void *a, const void *b)
{
	const struct snapshot_row *first = a;
	const struct snapshot_row *second = b;

	return (first->created_s > second->created_s) - (first->created_s < second->created_s);
}

static int by_size(const void *a, const void *b)
{
	return compare(((const struct snapshot_row *)a)->usage.bytes,
		       ((const struct snapshot_row *)b)->usage.bytes);
}

static int by_files(const void *a, const void *b)
{
	return compare(((const struct snapshot_row *)a)->usage.files,
		       ((const struct snapshot_row *)b)->usage.files);
}

static int by_state(const void *a, const void *b)
{
	return compare(((const struct snapshot_row *)a)->state,
		       ((const struct snapshot_row *)b)->state);
}

static int sort_rows(struct invocation *invocation, struct snapshot_rows *rows)
{
	static const struct {
		const char *name;
		int (*compare)(const void *, const void *);
	} orders[] = {
		{ "name", by_name },   { "created", by_created }, { "size", by_size },
		{ "files", by_files }, { "state", by_state },
	};
	const char *sort = option_value(invocation, "sort");

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		if (strcmp(sort == NULL ? "name" : sort, orders[i].name) != 0)
			continue;
		if (rows->count > 0)
			qsort(rows->rows, rows->count, sizeof(*rows->rows), orders[i].compare);
		return 0;
	}
	return fail(invocation, EXIT_USAGE, "--sort %s: name, created, size, files or state", sort);
}

/* ---- Output ---------------------------------------------------------------------------------- */

static int add_row(struct table *table, const struct snapshot_row *row)
{
	char created[HUMAN_SIZE];
	char size[HUMAN_SIZE];
	char files[HUMAN_SIZE];
	char expires[HUMAN_SIZE];
	char *keys = snapshot_row_keys(row);
	const char *was = snapshot_row_was(row);
	char *state = NULL;
	int r = keys == NULL || asprintf(&state, "%s%s%s", snapshot_state_name(row->state),
					 was != NULL ? ", was " : "", was != NULL ? was : "") < 0
			? -ENOMEM
			: 0;

	if (r == 0)
		r = table_add(table,
			      (const char *const[]){
				      row->name, human_time(row->created_s, created),
				      row->is_counted ? human_bytes(row->usage.bytes, size) : "-",
				      row->is_counted ? human_number(row->usage.files, files) : "-",
				      state,
				      row->expires_s > 0 ? human_time(row->expires_s, expires)
				      : row->retention   ? row->retention
							 : "-",
				      keys });
	free(state);
	free(keys);
	return r;
}

static int print_text(const struct selection *selection, const struct snapshot_rows *rows)
{
	static const struct table_column columns[] = {
		{ "SNAPSHOT", false },
		{ "CREATED", false },
		{ "SIZE", true },
		{ "FILES", true },
		{ "STATE", false },
		{ "EXPIRES", false },
		{ "ENCRYPTION KEY ID", false },
	};
	CLEANUP(table_cleanup) struct table *table = NULL;
	int r = table_new(columns, ARRAY_SIZE(columns), &table);

	for (size_t i = 0; r == 0 && i < rows->count; i++)
		if (is_selected(selection, &rows->rows[i]))
			r = add_row(table, &rows->rows[i]);
	if (r < 0)
		return fail(selection->invocation, EXIT_FAILED, "listing: %s", strerror(-r));
	table_print(table);
	if (rows->count == 0)
		notice(selection->invocation, "there are no snapshots yet");
	for (size_t i = 0; i < rows->count; i++) {
		const struct snapshot_row *row = &rows->rows[i];

		if (is_selected(selection, row) && row->state != SNAPSHOT_FOREIGN &&
		    !row->is_trusted)
			notice(selection->invocation,
			       "%s: origin not verified; accept its writer with trusted_writers = %s",
			       row->name, row->writer);
	}
	return EXIT_OK;
}

static int print_json(const struct session *session, const struct selection *selection,
		      const struct snapshot_rows *rows)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.snapshot-list/1");
	struct json_object *list = document_new_array();
	struct json_object *total = document_new_object();
	uint64_t bytes = 0;
	uint64_t count = 0;

	document_add_uuid(output, "volume", &store_volume(session->store)->volume);
	document_add_path(output, "backing", session->access.backing);
	for (size_t i = 0; i < rows->count; i++) {
		struct json_object *object = NULL;

		if (!is_selected(selection, &rows->rows[i]))
			continue;
		object = document_new_object();
		snapshot_row_json(&rows->rows[i], object);
		document_add_time(object, "expires", rows->rows[i].expires_s);
		document_add_text(object, "retention", rows->rows[i].retention);
		document_append(list, object);
		bytes += rows->rows[i].usage.bytes;
		count++;
	}
	document_add(output, "snapshots", list);
	document_add_number(total, "snapshots", count);
	document_add_number(total, "bytes", bytes);
	document_add(output, "total", total);
	document_print(output, stdout);
	return EXIT_OK;
}

int cmd_snapshot_list(struct invocation *invocation)
{
	struct session session;
	struct selection selection = { 0 };
	struct snapshot_rows rows = { 0 };
	int r = read_selection(invocation, &selection);

	session_init(&session, invocation);
	if (r == 0)
		r = session_open_all(&session, operand(invocation, 0), STORE_READ);
	if (r == 0)
		r = find_latest(&session, &selection);
	if (r == 0) {
		const int error = snapshot_rows_read(session.store, &rows);

		if (error < 0)
			r = fail(invocation, EXIT_STORAGE, "%s: %s", session.access.backing,
				 strerror(-error));
	}
	if (r == 0 && snapshot_expiry_read(&session, &rows) < 0)
		r = fail(invocation, EXIT_FAILED, "out of memory");
	if (r == 0)
		r = sort_rows(invocation, &rows);
	if (r == 0)
		r = invocation->is_json ? print_json(&session, &selection, &rows)
					: print_text(&selection, &rows);
	snapshot_rows_free(&rows);
	session_close(&session);
	return r;
}
