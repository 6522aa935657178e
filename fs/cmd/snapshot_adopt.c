/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot adopt: put foreign directories on the list of plaintext snapshots. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/deletion.h"
#include "fs/control/adopt.h"
#include "fs/store/adopt.h"

const struct option_spec options_snapshot_adopt[] = {
	OPTION_DRY_RUN,
	OPTION_YES,
	{ NULL, 0, NULL, NULL },
};

/* ID: "" until it has one. */
struct adopted {
	char *name;
	char id[UUID_TEXT_SIZE];
	bool was_there;
};

struct adopt_run {
	struct session session;
	struct deletion deletion;
	struct adopted *adopted;
	size_t count;
};

/* ---- Before the first is touched ---------------------------------------------------------------- */

static int check_one(struct adopt_run *run, const char *text)
{
	struct adopted *adopted = &run->adopted[run->count];
	struct snapshot *snapshot = NULL;
	struct store_error error = { 0 };
	int fd = -1;
	int r = change_find_snapshot(run->session.store, text, &snapshot, &fd, &error);

	if (r < 0)
		return session_fail(&run->session, &error);
	adopted->name = strdup(snapshot_name(snapshot));
	r = adopted->name == NULL ? -ENOMEM : snapshot_may_adopt(snapshot, fd, &error);
	if (r == -EEXIST) {
		adopted->was_there = true;
		uuid_format(snapshot_id(snapshot), adopted->id);
		r = 0;
	}
	close(fd);
	snapshot_put(snapshot);
	run->count++;
	if (adopted->name == NULL)
		return fail(run->session.invocation, EXIT_FAILED, "out of memory");
	return r < 0 ? session_fail(&run->session, &error) : 0;
}

static int check_all(struct adopt_run *run)
{
	struct invocation *invocation = run->session.invocation;
	const struct change_target target = deletion_target(&run->deletion);
	struct store_error error = { 0 };
	int r = change_check_plaintext(&target, &error);

	if (r < 0)
		return session_fail(&run->session, &error);
	run->adopted = calloc((size_t)invocation->operand_count, sizeof(*run->adopted));
	if (run->adopted == NULL)
		return fail(invocation, EXIT_FAILED, "out of memory");
	for (int i = 1; r == 0 && i < invocation->operand_count; i++)
		r = check_one(run, operand(invocation, i));
	return r;
}

static int ask(struct adopt_run *run)
{
	char question[512];

	snprintf(question, sizeof(question),
		 "Serve %s%s as it is, without encryption?  Whoever can write to the storage may "
		 "have put it there.",
		 run->adopted[0].name, run->count > 1 ? " and the others named" : "");
	return confirm(run->session.invocation, question);
}

/* ---- Adopting ----------------------------------------------------------------------------------- */

static int adopt_in_mount(struct adopt_run *run, struct adopted *adopted)
{
	CLEANUP(document_cleanup) struct json_object *request = document_new_object();
	CLEANUP(document_cleanup) struct json_object *reply = NULL;
	const char *id = NULL;
	int r = 0;

	document_add_text(request, "command", ADOPT_REQUEST);
	document_add_text(request, "snapshot", adopted->name);
	r = session_ask(&run->session, run->deletion.mount, request, -1, &reply);
	if (r != 0)
		return r;
	id = document_text(reply, "id");
	snprintf(adopted->id, sizeof(adopted->id), "%s", id == NULL ? "" : id);
	return 0;
}

static int adopt_here(struct adopt_run *run, struct adopted *adopted)
{
	const struct change_target target = deletion_target(&run->deletion);
	struct store_error error = { 0 };
	struct uuid id;

	if (change_adopt(&target, adopted->name, &id, &error) < 0)
		return session_fail(&run->session, &error);
	uuid_format(&id, adopted->id);
	return 0;
}

static int adopt_all(struct adopt_run *run)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < run->count; i++) {
		struct adopted *adopted = &run->adopted[i];

		if (!adopted->was_there)
			r = run->deletion.mount != NULL ? adopt_in_mount(run, adopted)
							: adopt_here(run, adopted);
	}
	return r;
}

/* ---- Output ------------------------------------------------------------------------------------- */

static void print_json(const struct adopt_run *run, bool is_dry)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.snapshot-adopt/1");
	struct json_object *snapshots = document_new_array();

	document_add_uuid(output, "volume", &store_volume(run->session.store)->volume);
	document_add_bool(output, "dry_run", is_dry);
	for (size_t i = 0; i < run->count; i++) {
		const struct adopted *adopted = &run->adopted[i];
		struct json_object *object = document_new_object();

		document_add_path(object, "name", adopted->name);
		document_add_text(object, "id", adopted->id[0] == '\0' ? NULL : adopted->id);
		document_add_bool(object, "adopted", !is_dry && !adopted->was_there);
		document_append(snapshots, object);
	}
	document_add(output, "snapshots", snapshots);
	document_print(output, stdout);
}

static void print_text(const struct adopt_run *run, bool is_dry)
{
	for (size_t i = 0; i < run->count; i++) {
		const struct adopted *adopted = &run->adopted[i];

		if (adopted->was_there)
			printf("%s is listed already\n", adopted->name);
		else
			printf("%s %s: Not enabled\n", is_dry ? "Would adopt" : "Adopted",
			       adopted->name);
	}
}

static void run_free(struct adopt_run *run)
{
	for (size_t i = 0; i < run->count; i++)
		free(run->adopted[i].name);
	free(run->adopted);
	session_close(&run->session);
}

int cmd_snapshot_adopt(struct invocation *invocation)
{
	struct adopt_run run = { 0 };
	const bool is_dry = option_is_set(invocation, "dry-run");
	int r = 0;

	session_init(&run.session, invocation);
	run.deletion.session = &run.session;
	r = session_open_change(&run.session, operand(invocation, 0), &run.deletion.mount);
	if (r == 0)
		r = check_all(&run);
	if (r == 0 && !is_dry)
		r = ask(&run);
	if (r == 0 && !is_dry)
		r = adopt_all(&run);
	if (r == 0 && invocation->is_json)
		print_json(&run, is_dry);
	else if (r == 0 && !invocation->is_quiet)
		print_text(&run, is_dry);
	run_free(&run);
	return r;
}
