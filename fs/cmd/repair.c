/* SPDX-License-Identifier: Apache-2.0 */
/* repair: what verify finds, where it can be put right without inventing anything. */
#include "fs/store/repair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/findings.h"
#include "fs/cmd/progress.h"
#include "fs/cmd/session.h"
#include "fs/cmd/threads.h"
#include "fs/control/changes.h"
#include "fs/store/verify.h"

const struct option_spec options_repair[] = {
	OPTION_DRY_RUN,
	OPTION_YES,
	{ NULL, 0, NULL, NULL },
};

/* One finding, and what is done about it. */
struct step {
	char *snapshot; /* NULL: the volume */
	char *path;
	enum finding_class class;
	enum repair_action action;
	int outcome; /* 1: not done yet; 0; or a negative errno */
};

struct repairing {
	struct session session;
	pthread_mutex_t lock; /* guards the steps while they are collected */
	struct step *steps;
	size_t count;
	bool has_all; /* there was memory for all */
	struct findings findings;
	struct progress *progress;
	struct repair_left_overs keys;
	uint64_t sidecars;
	uint64_t done;
	uint64_t failed;
	uint64_t hopeless;
};

/* ---- Finding --------------------------------------------------------------------------------- */

static void collect(void *arg, const struct finding *finding)
{
	struct repairing *repairing = arg;
	struct step *grown = NULL;

	pthread_mutex_lock(&repairing->lock);
	grown = reallocarray(repairing->steps, repairing->count + 1, sizeof(*grown));
	if (grown == NULL) {
		repairing->has_all = false;
	} else {
		repairing->steps = grown;
		grown[repairing->count++] = (struct step){
			.snapshot = finding->snapshot == NULL ? NULL : strdup(finding->snapshot),
			.path = strdup(finding->path),
			.class = finding->class,
			.outcome = 1,
		};
	}
	pthread_mutex_unlock(&repairing->lock);
	findings_add(&repairing->findings, finding);
}

static void ignore_current(void *arg, const char *path)
{
	const struct repairing *repairing = arg;

	progress_current(repairing->progress, path);
}

static void count_done(void *arg, uint64_t files, uint64_t bytes, bool was_done)
{
	const struct repairing *repairing = arg;

	(void)was_done;
	progress_add(repairing->progress, files, bytes);
}

static int find_in(void *arg, struct snapshot *snapshot, int fd)
{
	struct verify_counts counts = { 0 };

	return verify_snapshot(arg, snapshot, fd, &counts);
}

/* Everything but the content of files, which nothing can be done about. */
static int find_all(struct repairing *repairing)
{
	const struct verify_observer observer = {
		.found = collect,
		.current = ignore_current,
		.done = count_done,
		.arg = repairing,
	};
	struct verify_options options = {
		.store = repairing->session.store,
		.observer = &observer,
	};
	struct snapshot *root = snapshot_root(options.store);
	struct invocation *invocation = repairing->session.invocation;
	int r = threads_option(&repairing->session, &options.threads);

	if (r != 0) {
		snapshot_put(root);
		return r;
	}
	r = verify_volume(&options);
	if (r == 0 && invocation->operand_count == 1) {
		r = find_in(&options, root, store_root_fd(options.store));
		if (r == 0)
			r = snapshot_each(options.store, find_in, &options);
	}
	snapshot_put(root);
	for (int i = 1; r == 0 && i < invocation->operand_count; i++) {
		struct store_error error = { 0 };
		struct snapshot *snapshot = NULL;
		int fd = -1;

		if (change_find_snapshot(options.store, operand(invocation, i), &snapshot, &fd,
					 &error) < 0)
			return session_fail(&repairing->session, &error);
		r = find_in(&options, snapshot, fd);
		snapshot_put(snapshot);
		close(fd);
	}
	if (r == 0 && !repairing->has_all)
		r = -ENOMEM;
	return r < 0 ? session_fail_errno(&repairing->session, r, "volume",
					  repairing->session.access.backing)
		     : 0;
}

/* ---- Planning and doing ---------------------------------------------------------------------- */

/* Call DO_STEP for each step of a snapshot, with the snapshot opened. */
static int each_step(struct repairing *repairing,
		     int (*do_step)(struct step *step, const struct repair_object *object))
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < repairing->count; i++) {
		struct step *step = &repairing->steps[i];
		struct repair_object object = { .path = step->path, .fd = -1 };
		struct store_error ignored = { 0 };

		if (step->path == NULL || step->snapshot == NULL ||
		    change_find_snapshot(repairing->session.store, step->snapshot, &object.snapshot,
					 &object.fd, &ignored) < 0)
			continue;
		if (store_snapshot_is_sealed(repairing->session.store,
					     snapshot_id(object.snapshot)) &&
		    snapshot_sealed_view(object.snapshot, &object.view) < 0)
			object.view = NULL;
		r = do_step(step, &object);
		sealed_view_put(object.view);
		snapshot_put(object.snapshot);
		close(object.fd);
	}
	return r;
}

static int plan_step(struct step *step, const struct repair_object *object)
{
	/* Without its manifest nothing is known of a sealed snapshot. */
	if (object->view == NULL &&
	    store_snapshot_is_sealed(snapshot_store(object->snapshot),
				     snapshot_id(object->snapshot)) &&
	    step->class != FINDING_INDEX)
		return 0;
	return repair_plan(object, step->class, &step->action);
}

static int apply_step(struct step *step, const struct repair_object *object)
{
	if (step->action == REPAIR_NOTHING)
		return 0;
	step->outcome = repair_apply(object, step->action);
	/* Another step has done it: several names of one file, several findings of one object. */
	if (step->outcome == -EALREADY ||
	    (step->outcome == -ENOENT && step->action == REPAIR_QUARANTINE))
		step->outcome = 0;
	return step->outcome == -ENOMEM ? -ENOMEM : 0;
}

struct sweep_arg {
	bool is_dry;
	uint64_t *count;
};

static int sweep_one(void *arg, struct snapshot *snapshot, int fd)
{
	const struct sweep_arg *sweep = arg;

	return snapshot_state(snapshot) == SNAPSHOT_FOREIGN
		       ? 0
		       : repair_sidecars(snapshot, fd, sweep->is_dry, sweep->count);
}

/* Where not all could be read, some record may be needed by what was not. */
static int sweep_keys(struct repairing *repairing, bool is_dry)
{
	struct store_error error = { 0 };
	const int r = repair_keys(repairing->session.store, is_dry, &repairing->keys, &error);

	if (r == 0)
		return 0;
	if (r != -EAGAIN)
		return session_fail(&repairing->session, &error);
	notice(repairing->session.invocation,
	       "key records are left as they are: not everything that may need them can be read");
	return 0;
}

static int sweep(struct repairing *repairing, bool is_dry)
{
	struct sweep_arg arg = { .is_dry = is_dry, .count = &repairing->sidecars };
	int r = 0;

	repairing->sidecars = 0;
	/* Left-overs are the volume's, not a snapshot's. */
	if (repairing->session.invocation->operand_count > 1)
		return 0;
	r = snapshot_each(repairing->session.store, sweep_one, &arg);
	return r < 0 ? session_fail_errno(&repairing->session, r, "volume",
					  repairing->session.access.backing)
		     : sweep_keys(repairing, is_dry);
}

static uint64_t count_steps(const struct repairing *repairing)
{
	uint64_t count = repairing->sidecars + repairing->keys.records + repairing->keys.markers;

	for (size_t i = 0; i < repairing->count; i++)
		count += repairing->steps[i].action != REPAIR_NOTHING;
	return count;
}

static void count_outcomes(struct repairing *repairing)
{
	for (size_t i = 0; i < repairing->count; i++) {
		const struct step *step = &repairing->steps[i];

		if (step->action == REPAIR_NOTHING)
			repairing->hopeless += step->class != FINDING_INDEX &&
					       step->class != FINDING_ORIGIN;
		else if (step->outcome == 0)
			repairing->done++;
		else if (step->outcome < 0)
			repairing->failed++;
	}
	repairing->done += repairing->sidecars + repairing->keys.records + repairing->keys.markers;
}

/* ---- Reporting ------------------------------------------------------------------------------- */

static void print_plan(const struct repairing *repairing)
{
	FILE *stream = repairing->session.invocation->is_json ? stderr : stdout;

	for (size_t i = 0; i < repairing->count; i++) {
		const struct step *step = &repairing->steps[i];

		if (step->action != REPAIR_NOTHING)
			fprintf(stream, "%s: %s%s%s\n", repair_action_name(step->action),
				step->snapshot, step->path[0] == '\0' ? "" : "/", step->path);
	}
	if (repairing->sidecars > 0)
		fprintf(stream, "remove: %" PRIu64 " sidecars of names that are gone\n",
			repairing->sidecars);
	if (repairing->keys.records + repairing->keys.markers > 0)
		fprintf(stream,
			"remove: %" PRIu64 " key records and %" PRIu64
			" markers that nothing needs\n",
			repairing->keys.records, repairing->keys.markers);
}

static void print_json(struct repairing *repairing, bool is_dry)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.repair/1");
	struct json_object *actions = document_new_array();

	document_add_uuid(output, "volume", &store_volume(repairing->session.store)->volume);
	document_add_path(output, "backing", repairing->session.access.backing);
	document_add_bool(output, "dry_run", is_dry);
	for (size_t i = 0; i < repairing->count; i++) {
		const struct step *step = &repairing->steps[i];
		struct json_object *object = NULL;

		if (step->action == REPAIR_NOTHING)
			continue;
		object = document_new_object();
		document_add_text(object, "action", repair_action_name(step->action));
		document_add_text(object, "class", finding_class_name(step->class));
		document_add_path(object, "snapshot", step->snapshot);
		document_add_path(object, "path", step->path);
		document_add_bool(object, "done", step->outcome == 0);
		document_add_text(object, "message",
				  step->outcome < 0 ? strerror(-step->outcome) : NULL);
		document_append(actions, object);
	}
	document_add(output, "actions", actions);
	document_add_number(output, "sidecars", repairing->sidecars);
	document_add_number(output, "key_records", repairing->keys.records);
	document_add_number(output, "markers", repairing->keys.markers);
	document_add_number(output, "failed", repairing->failed);
	document_add_number(output, "not_repairable", repairing->hopeless);
	findings_json(&repairing->findings, output);
	document_print(output, stdout);
}

static int report(struct repairing *repairing, bool is_dry)
{
	struct invocation *invocation = repairing->session.invocation;

	count_outcomes(repairing);
	if (invocation->is_json)
		print_json(repairing, is_dry);
	else if (!invocation->is_quiet && !is_dry)
		printf("%s: %" PRIu64 " repaired, %" PRIu64 " failed, %" PRIu64
		       " cannot be repaired\n",
		       repairing->session.access.backing, repairing->done, repairing->failed,
		       repairing->hopeless);
	if (repairing->failed > 0)
		return fail(invocation, EXIT_PARTIAL, "%" PRIu64 " repairs failed",
			    repairing->failed);
	if (repairing->hopeless == 0)
		return EXIT_OK;
	fail(invocation, EXIT_FINDINGS, "%" PRIu64 " findings cannot be repaired",
	     repairing->hopeless);
	advise(invocation,
	       "'snapcrypt verify %s' lists them; what they name has to come from "
	       "another copy",
	       repairing->session.access.backing);
	return EXIT_FINDINGS;
}

/* ---- The command ----------------------------------------------------------------------------- */

static int apply(struct repairing *repairing)
{
	struct invocation *invocation = repairing->session.invocation;
	int r = 0;

	if (count_steps(repairing) == 0)
		return 0;
	r = confirm(invocation, "repair?");
	if (r != 0)
		return r;
	r = each_step(repairing, apply_step);
	if (r < 0)
		return fail(invocation, EXIT_FAILED, "%s", strerror(-r));
	return sweep(repairing, false);
}

static int search(struct repairing *repairing)
{
	static const struct progress_options shown = { .verb = "looked at", .items = "files" };
	struct invocation *invocation = repairing->session.invocation;
	int r = progress_start(invocation, &shown, &repairing->progress);

	if (r < 0)
		return fail(invocation, EXIT_FAILED, "progress: %s", strerror(-r));
	r = find_all(repairing);
	progress_stop(repairing->progress);
	repairing->progress = NULL;
	if (r != 0)
		return r;
	r = each_step(repairing, plan_step);
	return r < 0 ? session_fail_errno(&repairing->session, r, "volume",
					  repairing->session.access.backing)
		     : sweep(repairing, true);
}

static int repair(struct repairing *repairing)
{
	struct invocation *invocation = repairing->session.invocation;
	const bool is_dry = option_is_set(invocation, "dry-run");
	int r = session_open_all(&repairing->session, operand(invocation, 0),
				 is_dry ? STORE_READ : STORE_WRITE);

	if (r == 0)
		r = search(repairing);
	if (r != 0)
		return r;
	if (!invocation->is_quiet)
		print_plan(repairing);
	r = is_dry ? 0 : apply(repairing);
	return r == 0 ? report(repairing, is_dry) : r;
}

int cmd_repair(struct invocation *invocation)
{
	struct repairing repairing = { .has_all = true };
	int r = 0;
	int closed = 0;

	pthread_mutex_init(&repairing.lock, NULL);
	session_init(&repairing.session, invocation);
	findings_init(&repairing.findings, invocation);
	repairing.findings.stream = NULL;
	r = repair(&repairing);
	closed = store_close(TAKE(repairing.session.store));
	if (r == 0 && closed < 0)
		r = fail(invocation, EXIT_STORAGE, "closing the volume: %s", strerror(-closed));
	for (size_t i = 0; i < repairing.count; i++) {
		free(repairing.steps[i].snapshot);
		free(repairing.steps[i].path);
	}
	free(repairing.steps);
	findings_free(&repairing.findings);
	pthread_mutex_destroy(&repairing.lock);
	session_close(&repairing.session);
	return r;
}
