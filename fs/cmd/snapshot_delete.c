/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot delete: tombstone, directory, and what nothing needs any more. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/deletion.h"

const struct option_spec options_snapshot_delete[] = {
	{ "shred-key", 0, NULL, "destroy its wrapped keys first; refused if another needs one" },
	{ "reason", 0, "TEXT", "for the tombstone and the audit log" },
	OPTION_DRY_RUN,
	OPTION_YES,
	{ NULL, 0, NULL, NULL },
};

struct doomed {
	char *name;
	char id[UUID_TEXT_SIZE];
	const char *state;
	bool is_deleted;
};

struct delete_run {
	struct session session;
	struct deletion deletion;
	struct removal removal;
	struct doomed *doomed;
	size_t count;
	struct json_object *shredded;
	struct json_object *sweep;
	struct json_object *unneeded;
};

/* ---- What is to be deleted ------------------------------------------------------------------------ */

static int add_doomed(struct delete_run *run, struct snapshot *snapshot)
{
	struct doomed *doomed = &run->doomed[run->count];
	char id[UUID_TEXT_SIZE];

	uuid_format(snapshot_id(snapshot), id);
	for (size_t i = 0; i < run->count; i++)
		if (strcmp(run->doomed[i].id, id) == 0)
			return 0;
	memcpy(doomed->id, id, sizeof(id));
	doomed->state = snapshot_state_name(snapshot_state(snapshot));
	doomed->name = strdup(snapshot_name(snapshot));
	if (doomed->name == NULL)
		return fail(run->session.invocation, EXIT_FAILED, "out of memory");
	run->count++;
	return 0;
}

/* Everything that can refuse does so before the first is touched. */
static int check_one(struct delete_run *run, const char *text)
{
	struct snapshot *snapshot = NULL;
	struct store_error error = { 0 };
	int r = change_find_snapshot(run->session.store, text, &snapshot, NULL, &error);

	if (r == 0)
		r = change_check_lock(run->session.store, snapshot, &error);
	if (r == 0)
		r = snapshot_may_remove(snapshot, &run->removal, &error);
	r = r < 0 ? session_fail(&run->session, &error) : add_doomed(run, snapshot);
	snapshot_put(snapshot);
	return r;
}

static int check_all(struct delete_run *run)
{
	struct invocation *invocation = run->session.invocation;
	int r = 0;

	run->doomed = calloc((size_t)invocation->operand_count, sizeof(*run->doomed));
	if (run->doomed == NULL)
		return fail(invocation, EXIT_FAILED, "out of memory");
	for (int i = 1; r == 0 && i < invocation->operand_count; i++)
		r = check_one(run, operand(invocation, i));
	return r;
}

static int ask(struct delete_run *run)
{
	char question[512];

	snprintf(question, sizeof(question), "Delete %s%s for ever?", run->doomed[0].name,
		 run->count > 1 ? " and the others named" : "");
	return confirm(run->session.invocation, question);
}

/* ---- Deleting ------------------------------------------------------------------------------------- */

static int delete_all(struct delete_run *run)
{
	const char *reason = option_value(run->session.invocation, "reason");
	int r = 0;

	for (size_t i = 0; r == 0 && i < run->count; i++) {
		const struct delete_change change = {
			.snapshot = run->doomed[i].id,
			.reason = reason == NULL ? "deleted by command" : reason,
			.shreds = run->removal.shreds,
		};
		struct json_object *shredded = NULL;

		r = deletion_run(&run->deletion, &change, &shredded);
		run->doomed[i].is_deleted = r == 0;
		for (size_t k = 0; r == 0 && k < document_length(shredded); k++)
			document_append_text(run->shredded, document_element_text(shredded, k));
		document_free(shredded);
	}
	if (r == 0)
		r = deletion_sweep(&run->deletion, &run->sweep);
	return r != 0 ? r : deletion_unneeded_keys(&run->deletion, run->sweep, &run->unneeded);
}

/* ---- Output --------------------------------------------------------------------------------------- */

static void print_json(struct delete_run *run)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.snapshot-delete/1");
	struct json_object *snapshots = document_new_array();
	const bool is_dry = run->sweep == NULL;

	document_add_uuid(output, "volume", &store_volume(run->session.store)->volume);
	document_add_bool(output, "dry_run", is_dry);
	for (size_t i = 0; i < run->count; i++) {
		struct json_object *object = document_new_object();

		document_add_path(object, "name", run->doomed[i].name);
		document_add_text(object, "id", run->doomed[i].id);
		document_add_text(object, "state", run->doomed[i].state);
		document_add_bool(object, "deleted", run->doomed[i].is_deleted);
		document_append(snapshots, object);
	}
	document_add(output, "snapshots", snapshots);
	document_add(output, "shredded", TAKE(run->shredded));
	document_add(output, "data_keys",
		     is_dry ? document_new_array()
			    : document_share(document_member(run->sweep, "data_keys")));
	document_add(output, "unneeded_key_ids",
		     is_dry ? document_new_array() : TAKE(run->unneeded));
	document_print(output, stdout);
}

static void print_text(const struct delete_run *run)
{
	for (size_t i = 0; i < run->count; i++)
		printf("%s %s\n", run->sweep == NULL ? "Would delete" : "Deleted",
		       run->doomed[i].name);
	for (size_t i = 0; i < document_length(run->shredded); i++)
		printf("Shredded data key %s\n", document_element_text(run->shredded, i));
	if (run->unneeded != NULL)
		deletion_print_unneeded(run->unneeded);
}

static void run_free(struct delete_run *run)
{
	for (size_t i = 0; i < run->count; i++)
		free(run->doomed[i].name);
	free(run->doomed);
	document_free(run->shredded);
	document_free(run->sweep);
	document_free(run->unneeded);
	session_close(&run->session);
}

int cmd_snapshot_delete(struct invocation *invocation)
{
	struct delete_run run = { .shredded = document_new_array() };
	const bool is_dry = option_is_set(invocation, "dry-run");
	int r = 0;

	session_init(&run.session, invocation);
	run.removal.shreds = option_is_set(invocation, "shred-key");
	run.deletion.session = &run.session;
	r = session_open_change(&run.session, operand(invocation, 0), &run.deletion.mount);
	if (r == 0)
		r = check_all(&run);
	if (r == 0 && !is_dry)
		r = ask(&run);
	if (r == 0 && !is_dry)
		r = delete_all(&run);
	if (r == 0 && invocation->is_json)
		print_json(&run);
	else if (r == 0 && !invocation->is_quiet)
		print_text(&run);
	run_free(&run);
	return r;
}
