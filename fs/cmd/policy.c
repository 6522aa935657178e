/* SPDX-License-Identifier: Apache-2.0 */
/* policy show, set and lock: the rules of retention, which are signed in the volume and written in the configuration. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/deletion.h"

#define POLICY_TIMEOUT_MS 60000

const struct option_spec options_policy_set[] = {
	OPTION_DRY_RUN,
	OPTION_YES,
	{ NULL, 0, NULL, NULL },
};
const struct option_spec options_policy_lock[] = {
	{ "mode", 0, "MODE", "governance (default), or compliance: never weaker again" },
	{ "min", 0, "DURATION", "no snapshot is deleted younger" },
	OPTION_DRY_RUN,
	OPTION_YES,
	{ NULL, 0, NULL, NULL },
};

struct policy_run {
	struct session session;
	struct deletion deletion;
	struct policy stored;
	struct policy configured;
	bool is_configured;
};

static int read_policies(struct policy_run *run)
{
	const struct config *config = run->session.access.config;
	const char *name = run->session.access.volume_name;
	struct store_error error = { 0 };
	int r = policy_of_store(run->session.store, &run->stored, &error);

	run->is_configured = policy_is_configured(config, name);
	if (r == 0)
		r = policy_from_config(config, name, &run->configured, &error);
	return r < 0 ? session_fail(&run->session, &error) : 0;
}

static void run_close(struct policy_run *run)
{
	policy_free(&run->stored);
	policy_free(&run->configured);
	session_close(&run->session);
}

/* ---- Output --------------------------------------------------------------------------------------- */

static void print_text(const struct policy_run *run, const struct policy *stored, bool is_same)
{
	CLEANUP(document_cleanup) struct json_object *rules = policy_document(stored);
	CLEANUP(document_cleanup) struct json_object *wanted = policy_document(&run->configured);

	printf("Volume:        %s\n",
	       retention_has_rules(&stored->rules) ? document_line(rules) : "no rules");
	printf("Configuration: %s\n", run->is_configured ? document_line(wanted) : "no rules");
	printf("%s\n", is_same ? "They are the same."
			       : "They differ: prune refuses until 'snapcrypt policy set'.");
}

/* A difference is a finding. */
static int print(const struct policy_run *run, const struct policy *stored, const char *command)
{
	const struct invocation *invocation = run->session.invocation;
	const bool is_same = !run->is_configured || policy_is_same(stored, &run->configured);

	if (invocation->is_json) {
		CLEANUP(document_cleanup)
		struct json_object *output = document_new_output("snapcrypt.policy-show/1");

		document_add_text(output, "command", command);
		document_add_uuid(output, "volume", &store_volume(run->session.store)->volume);
		document_add(output, "volume_policy",
			     retention_has_rules(&stored->rules) ? policy_document(stored) : NULL);
		document_add(output, "configured_policy",
			     run->is_configured ? policy_document(&run->configured) : NULL);
		document_add_bool(output, "same", is_same);
		document_print(output, stdout);
	} else if (!invocation->is_quiet) {
		print_text(run, stored, is_same);
	}
	return is_same ? EXIT_OK : EXIT_FINDINGS;
}

int cmd_policy_show(struct invocation *invocation)
{
	struct policy_run run = { 0 };
	int r = 0;

	session_init(&run.session, invocation);
	r = session_open_all(&run.session, operand(invocation, 0), STORE_READ);
	if (r == 0)
		r = read_policies(&run);
	if (r == 0)
		r = print(&run, &run.stored, "show");
	run_close(&run);
	return r;
}

/* ---- Changing ------------------------------------------------------------------------------------- */

static int publish(struct policy_run *run, const char *text)
{
	const struct change_target target = deletion_target(&run->deletion);
	CLEANUP(document_cleanup) struct json_object *request = NULL;
	CLEANUP(document_cleanup) struct json_object *reply = NULL;
	struct store_error error = { 0 };

	if (run->deletion.mount == NULL)
		return change_policy(&target, text, &error) < 0
			       ? session_fail(&run->session, &error)
			       : 0;
	request = document_new_object();
	document_add_text(request, "command", POLICY_REQUEST);
	document_add_text(request, "policy", text);
	return session_ask(&run->session, run->deletion.mount, request, POLICY_TIMEOUT_MS, &reply);
}

/* WANTED becomes the volume's own.  Weaker rules are asked for; under a compliance lock they are refused. */
static int store_policy(struct policy_run *run, const struct policy *wanted, const char *command)
{
	CLEANUP(document_cleanup) struct json_object *rules = policy_document(wanted);
	struct invocation *invocation = run->session.invocation;
	const char *weakened = retention_weakened(&run->stored.rules, &wanted->rules);
	char question[256];
	int r = 0;

	if (weakened != NULL && run->stored.rules.lock == RETENTION_LOCK_COMPLIANCE) {
		fail(invocation, EXIT_POLICY,
		     "%s would be weaker than in the volume, whose rules are locked (compliance)",
		     weakened);
		advise(invocation, "rules may only become stronger");
		return EXIT_POLICY;
	}
	if (option_is_set(invocation, "dry-run"))
		return print(run, &run->stored, command);
	snprintf(question, sizeof(question),
		 "%s becomes weaker; more may be deleted from now on.  "
		 "Go on?",
		 weakened == NULL ? "" : weakened);
	if (weakened != NULL)
		r = confirm(invocation, question);
	if (r == 0)
		r = publish(run, document_line(rules));
	return r != 0 ? r : print(run, wanted, command);
}

int cmd_policy_set(struct invocation *invocation)
{
	struct policy_run run = { 0 };
	int r = 0;

	session_init(&run.session, invocation);
	run.deletion.session = &run.session;
	r = session_open_change(&run.session, operand(invocation, 0), &run.deletion.mount);
	if (r == 0)
		r = read_policies(&run);
	if (r == 0 && !run.is_configured) {
		r = fail(invocation, EXIT_USAGE, "the configuration has no rules for this volume");
		advise(invocation, "write keep_within, keep_daily ... into its section");
	}
	if (r == 0 && run.stored.rules.lock > run.configured.rules.lock)
		run.configured.rules.lock = run.stored.rules.lock;
	if (r == 0 && run.stored.rules.lock_min_s > run.configured.rules.lock_min_s)
		run.configured.rules.lock_min_s = run.stored.rules.lock_min_s;
	if (r == 0)
		r = store_policy(&run, &run.configured, "set");
	run_close(&run);
	return r;
}

static int take_lock(struct policy_run *run, struct policy *wanted)
{
	struct invocation *invocation = run->session.invocation;
	const char *mode = option_value(invocation, "mode");
	const char *min = option_value(invocation, "min");

	wanted->rules.lock = RETENTION_LOCK_GOVERNANCE;
	if (mode != NULL && strcmp(mode, "compliance") == 0)
		wanted->rules.lock = RETENTION_LOCK_COMPLIANCE;
	else if (mode != NULL && strcmp(mode, "governance") != 0)
		return fail(invocation, EXIT_USAGE, "--mode %s: governance or compliance", mode);
	if (min != NULL && (config_parse_duration(min, &wanted->rules.lock_min_s) < 0 ||
			    wanted->rules.lock_min_s < 0))
		return fail(invocation, EXIT_USAGE, "--min %s: not a duration", min);
	if (!retention_has_rules(&wanted->rules)) {
		fail(invocation, EXIT_POLICY, "the volume has no rules that could be locked");
		advise(invocation, "first 'snapcrypt policy set'");
		return EXIT_POLICY;
	}
	if (wanted->rules.lock != RETENTION_LOCK_COMPLIANCE)
		return 0;
	return confirm(invocation, "After this nobody can make the rules weaker.  Lock them?");
}

int cmd_policy_lock(struct invocation *invocation)
{
	struct policy_run run = { 0 };
	struct policy wanted;
	int r = 0;

	session_init(&run.session, invocation);
	run.deletion.session = &run.session;
	r = session_open_change(&run.session, operand(invocation, 0), &run.deletion.mount);
	if (r == 0)
		r = read_policies(&run);
	/* The words stay those of the stored rules. */
	wanted = run.stored;
	if (r == 0)
		r = take_lock(&run, &wanted);
	if (r == 0)
		r = store_policy(&run, &wanted, "lock");
	run_close(&run);
	return r;
}
