/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot tag, hold and release: labels of one snapshot. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/deletion.h"
#include "fs/cmd/human.h"

const struct option_spec options_snapshot_tag[] = {
	{ "set", 0, "NAME[=VALUE]", "add this tag, in place of one of the same name" },
	{ "unset", 0, "NAME", "take the tag of this name away" },
	{ NULL, 0, NULL, NULL },
};
const struct option_spec options_snapshot_hold[] = {
	{ "name", 0, "HOLD", "name of the hold" },
	{ "reason", 0, "TEXT", "why, for those who want to delete it" },
	{ NULL, 0, NULL, NULL },
};
const struct option_spec options_snapshot_release[] = {
	{ "name", 0, "HOLD", "name of the hold" },
	{ NULL, 0, NULL, NULL },
};

struct label_run {
	struct session session;
	struct deletion deletion;
	struct json_object *snapshots;
};

/* ---- Output --------------------------------------------------------------------------------------- */

static void print_text(const char *name, const struct labels_record *labels)
{
	char time[HUMAN_SIZE];

	printf("Snapshot: %s\nTags:    ", name);
	for (size_t i = 0; i < labels->tag_count; i++)
		printf(" %s", labels->tags[i]);
	printf("%s\n", labels->tag_count == 0 ? " none" : "");
	for (size_t i = 0; i < labels->hold_count; i++)
		printf("Held:     %s since %s%s%s\n", labels->holds[i].name,
		       human_time(labels->holds[i].since_s, time),
		       labels->holds[i].reason[0] == '\0' ? "" : ", ", labels->holds[i].reason);
	if (labels->keep_until_s != 0)
		printf("Expires:  %s\n", human_time(labels->keep_until_s, time));
}

static void add_snapshot(struct label_run *run, const struct snapshot *snapshot,
			 const struct labels_record *labels)
{
	struct json_object *object = document_new_object();

	document_add_path(object, "name", snapshot_name(snapshot));
	document_add_uuid(object, "id", snapshot_id(snapshot));
	labels_document(labels, object);
	document_append(run->snapshots, object);
}

static int report(struct label_run *run, const char *name)
{
	const struct invocation *invocation = run->session.invocation;
	struct labels_record labels = { 0 };
	struct snapshot *snapshot = NULL;
	struct store_error error = { 0 };
	int r = change_find_snapshot(run->session.store, name, &snapshot, NULL, &error);

	if (r < 0)
		return session_fail(&run->session, &error);
	r = labels_load(run->session.store, snapshot_id(snapshot), &labels);
	if (r < 0)
		r = session_fail_errno(&run->session, r, "labels of", name);
	else if (invocation->is_json)
		add_snapshot(run, snapshot, &labels);
	else if (!invocation->is_quiet)
		print_text(snapshot_name(snapshot), &labels);
	labels_record_free(&labels);
	snapshot_put(snapshot);
	return r;
}

static void print_json(struct label_run *run, const char *command)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.snapshot-change/1");

	document_add_text(output, "command", command);
	document_add_uuid(output, "volume", &store_volume(run->session.store)->volume);
	document_add(output, "snapshots", TAKE(run->snapshots));
	document_print(output, stdout);
}

/* ---- Commands ------------------------------------------------------------------------------------- */

/* Run CHANGE, which reports its failure, on every snapshot named. */
static int for_each(struct invocation *invocation, const char *command,
		    int (*change)(struct label_run *run, const char *snapshot))
{
	struct label_run run = { .snapshots = document_new_array() };
	int r = 0;

	session_init(&run.session, invocation);
	run.deletion.session = &run.session;
	r = session_open_change(&run.session, operand(invocation, 0), &run.deletion.mount);
	for (int i = 1; r == 0 && i < invocation->operand_count; i++) {
		r = change(&run, operand(invocation, i));
		if (r == 0)
			r = report(&run, operand(invocation, i));
	}
	if (r == 0 && invocation->is_json)
		print_json(&run, command);
	document_free(run.snapshots);
	session_close(&run.session);
	return r;
}

static int change_tags(struct label_run *run, const char *snapshot)
{
	const struct invocation *invocation = run->session.invocation;
	struct label_change change = { .reason = "" };
	int r = 0;

	change.action = LABEL_UNTAG;
	for (size_t i = 0; r == 0 && (change.text = option_nth(invocation, "unset", i)); i++)
		r = deletion_label(&run->deletion, snapshot, &change);
	change.action = LABEL_TAG;
	for (size_t i = 0; r == 0 && (change.text = option_nth(invocation, "set", i)); i++)
		r = deletion_label(&run->deletion, snapshot, &change);
	return r;
}

int cmd_snapshot_tag(struct invocation *invocation)
{
	if (!option_is_set(invocation, "set") && !option_is_set(invocation, "unset"))
		return fail(invocation, EXIT_USAGE, "snapshot tag: --set or --unset is missing");
	return for_each(invocation, "tag", change_tags);
}

static int change_hold(struct label_run *run, const char *snapshot, enum label_action action)
{
	const struct invocation *invocation = run->session.invocation;
	const char *reason = action == LABEL_HOLD ? option_value(invocation, "reason") : NULL;
	const struct label_change change = {
		.action = action,
		.text = option_value(invocation, "name"),
		.reason = reason == NULL ? "" : reason,
	};

	return deletion_label(&run->deletion, snapshot, &change);
}

static int hold(struct label_run *run, const char *snapshot)
{
	return change_hold(run, snapshot, LABEL_HOLD);
}

static int release(struct label_run *run, const char *snapshot)
{
	return change_hold(run, snapshot, LABEL_RELEASE);
}

int cmd_snapshot_hold(struct invocation *invocation)
{
	if (!option_is_set(invocation, "name"))
		return fail(invocation, EXIT_USAGE, "snapshot hold: --name is missing");
	return for_each(invocation, "hold", hold);
}

int cmd_snapshot_release(struct invocation *invocation)
{
	if (!option_is_set(invocation, "name"))
		return fail(invocation, EXIT_USAGE, "snapshot release: --name is missing");
	return for_each(invocation, "release", release);
}
