/* SPDX-License-Identifier: Apache-2.0 */
/* prune: delete what the rules of retention do not keep. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/deletion.h"
#include "fs/cmd/human.h"
#include "fs/cmd/prune_plan.h"
#include "fs/cmd/table.h"

const struct option_spec options_prune[] = {
	{ "include-open", 0, NULL, "judge snapshots that are not sealed, too" },
	{ "accept-gap", 0, NULL, "go on though no snapshot was made for long" },
	OPTION_DRY_RUN,
	OPTION_YES,
	{ NULL, 0, NULL, NULL },
};

struct prune_run {
	struct session session;
	struct deletion deletion;
	struct policy policy;
	struct plan plan;
	bool is_dry;
	uint64_t deleted;
	uint64_t failed;
	struct json_object *sweep;
	struct json_object *unneeded;
};

/* ---- Rules ---------------------------------------------------------------------------------------- */

static int refuse_difference(struct invocation *invocation, bool has_stored)
{
	fail(invocation, EXIT_POLICY, "the rules of the configuration are %s the volume's own",
	     has_stored ? "not" : "not yet");
	advise(invocation, "compare them with 'snapcrypt policy show', and put them right with "
			   "'snapcrypt policy set'");
	return EXIT_POLICY;
}

/* The volume's own count; what the configuration says must be the same. */
static int read_policy(struct prune_run *run)
{
	CLEANUP(policy_cleanup) struct policy configured = { 0 };
	struct invocation *invocation = run->session.invocation;
	const struct config *config = run->session.access.config;
	const char *name = run->session.access.volume_name;
	struct store_error error = { 0 };

	if (policy_of_store(run->session.store, &run->policy, &error) < 0)
		return session_fail(&run->session, &error);
	if (policy_is_configured(config, name)) {
		if (policy_from_config(config, name, &configured, &error) < 0)
			return session_fail(&run->session, &error);
		if (!policy_is_same(&run->policy, &configured))
			return refuse_difference(invocation,
						 retention_has_rules(&run->policy.rules));
	}
	if (retention_has_rules(&run->policy.rules))
		return 0;
	fail(invocation, EXIT_POLICY, "the volume has no rule that keeps anything");
	advise(invocation, "write keep_within, keep_daily ... into the volume's section of the "
			   "configuration, then 'snapcrypt policy set'");
	return EXIT_POLICY;
}

static int make_plan(struct prune_run *run)
{
	const struct invocation *invocation = run->session.invocation;
	const struct plan_options options = {
		.now_s = time(NULL),
		.includes_open = option_is_set(invocation, "include-open"),
		.believes_gap = option_is_set(invocation, "accept-gap"),
	};
	struct store_error error = { 0 };

	if (plan_read(run->session.store, run->session.access.trust, &run->policy, &run->plan,
		      &error) < 0 ||
	    plan_decide(&run->plan, &run->policy, &options, &error) < 0)
		return session_fail(&run->session, &error);
	return 0;
}

/* ---- Output --------------------------------------------------------------------------------------- */

static int print_plan(const struct prune_run *run)
{
	static const struct table_column columns[] = {
		{ "SNAPSHOT", false }, { "TIME", false },   { "STATE", false },
		{ "ACTION", false },   { "REASON", false },
	};
	CLEANUP(table_cleanup) struct table *table = NULL;
	int r = table_new(columns, ARRAY_SIZE(columns), &table);

	for (size_t i = 0; r == 0 && i < run->plan.count; i++) {
		const struct plan_row *row = &run->plan.rows[i];
		char time[HUMAN_SIZE];

		r = table_add(table, (const char *const[]){
					     row->name, human_time(row->time_s, time),
					     snapshot_state_name(row->state),
					     row->is_deleted ? "delete" : "keep", row->reason });
	}
	if (r < 0)
		return fail(run->session.invocation, EXIT_FAILED, "listing: %s", strerror(-r));
	table_print(table);
	return 0;
}

static void print_end(const struct prune_run *run)
{
	printf("%" PRIu64 " deleted, %zu kept%s\n", run->deleted,
	       run->plan.count - (size_t)run->deleted, run->failed > 0 ? ", some failed" : "");
	if (run->unneeded != NULL)
		deletion_print_unneeded(run->unneeded);
}

static struct json_object *shared(const struct json_object *object, const char *name)
{
	struct json_object *member = object == NULL ? NULL : document_member(object, name);

	return member == NULL ? document_new_array() : document_share(member);
}

static void print_json(struct prune_run *run)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.prune/1");

	document_add_uuid(output, "volume", &store_volume(run->session.store)->volume);
	document_add_path(output, "backing", run->session.access.backing);
	document_add_bool(output, "dry_run", run->is_dry);
	document_add(output, "policy", policy_document(&run->policy));
	document_add(output, "snapshots", plan_document(&run->plan));
	document_add_number(output, "deleted", run->deleted);
	document_add_number(output, "failed", run->failed);
	document_add(output, "data_keys", shared(run->sweep, "data_keys"));
	document_add(output, "unneeded_key_ids",
		     run->unneeded == NULL ? document_new_array() : TAKE(run->unneeded));
	document_print(output, stdout);
}

/* ---- Deleting ------------------------------------------------------------------------------------- */

static int ask(const struct prune_run *run)
{
	char question[128];

	if (run->plan.delete_count == 0)
		return 0;
	snprintf(question, sizeof(question), "Delete %zu of %zu snapshots for ever?",
		 run->plan.delete_count, run->plan.count);
	return confirm(run->session.invocation, question);
}

/* One that fails does not keep the others. */
static int delete_rows(struct prune_run *run)
{
	for (size_t i = 0; i < run->plan.count; i++) {
		struct plan_row *row = &run->plan.rows[i];
		char id[UUID_TEXT_SIZE];
		const struct delete_change change = {
			.snapshot = id,
			.reason = row->reason,
			.by_rules = true,
		};
		struct json_object *shredded = NULL;

		if (!row->is_deleted)
			continue;
		uuid_format(&row->id, id);
		row->is_deleted = deletion_run(&run->deletion, &change, &shredded) == 0;
		document_free(shredded);
		if (row->is_deleted) {
			run->deleted++;
			continue;
		}
		run->failed++;
		notice(run->session.invocation, "%s", run->session.invocation->failure.text);
	}
	return run->failed == 0 ? 0
				: fail(run->session.invocation, EXIT_PARTIAL,
				       "%" PRIu64 " of %zu snapshots were not deleted", run->failed,
				       run->plan.delete_count);
}

static int carry_out(struct prune_run *run)
{
	int partial = delete_rows(run);
	int r = deletion_sweep(&run->deletion, &run->sweep);

	if (r == 0)
		r = deletion_unneeded_keys(&run->deletion, run->sweep, &run->unneeded);
	return r != 0 ? r : partial;
}

int cmd_prune(struct invocation *invocation)
{
	struct prune_run run = { .is_dry = option_is_set(invocation, "dry-run") };
	int r = 0;

	session_init(&run.session, invocation);
	run.deletion.session = &run.session;
	r = session_open_change(&run.session, operand(invocation, 0), &run.deletion.mount);
	if (r == 0)
		r = read_policy(&run);
	if (r == 0)
		r = make_plan(&run);
	if (r == 0 && !invocation->is_json && !invocation->is_quiet)
		r = print_plan(&run);
	if (r == 0 && !run.is_dry)
		r = ask(&run);
	if (r == 0 && !run.is_dry)
		r = carry_out(&run);
	if ((r == 0 || r == EXIT_PARTIAL) && invocation->is_json)
		print_json(&run);
	else if ((r == 0 || r == EXIT_PARTIAL) && !invocation->is_quiet && !run.is_dry)
		print_end(&run);
	document_free(run.sweep);
	document_free(run.unneeded);
	plan_free(&run.plan);
	policy_free(&run.policy);
	session_close(&run.session);
	return r;
}
