/* SPDX-License-Identifier: Apache-2.0 */
/* verify: chain, records, signatures, sizes, tags and manifests. */
#include "fs/store/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/findings.h"
#include "fs/cmd/human.h"
#include "fs/cmd/progress.h"
#include "fs/cmd/session.h"
#include "fs/cmd/snapshot_row.h"
#include "fs/cmd/threads.h"
#include "fs/cmd/usage.h"
#include "fs/cmd/verified.h"
#include "fs/control/changes.h"

const struct option_spec options_verify[] = {
	{ "structure", 0, NULL, "only what needs no key" },
	{ "sample", 0, "PERCENT", "a random part of all content" },
	{ "resume", 0, NULL, "go on where an interrupted run stopped" },
	{ "expect-root", 0, "ROOT", "the snapshot's seal must have this root" },
	{ "threads", 0, "N", "how many at a time; default as the machine has" },
	{ NULL, 0, NULL, NULL },
};

struct verify_run {
	struct session session;
	struct verify_options options;
	uint8_t root[SEAL_ROOT_SIZE];
	struct findings findings;
	struct progress *progress;
	struct verified *verified;
	struct json_object *snapshots;
	uint64_t files;
	uint64_t bytes;
	uint64_t skipped;
};

/* ---- Observing ------------------------------------------------------------------------------- */

static void observe_found(void *arg, const struct finding *finding)
{
	struct verify_run *run = arg;

	if (!finding->is_notice)
		progress_error(run->progress);
	findings_add(&run->findings, finding);
}

static void observe_current(void *arg, const char *path)
{
	const struct verify_run *run = arg;

	progress_current(run->progress, path);
}

static void observe_done(void *arg, uint64_t files, uint64_t bytes, bool was_done)
{
	const struct verify_run *run = arg;

	if (was_done)
		progress_skip(run->progress, files, bytes);
	else
		progress_add(run->progress, files, bytes);
}

static bool observe_is_done(void *arg, const struct uuid *snapshot, const char *path)
{
	const struct verify_run *run = arg;

	return verified_has(run->verified, snapshot, path);
}

static void observe_mark_done(void *arg, const struct uuid *snapshot, const char *path)
{
	const struct verify_run *run = arg;

	verified_add(run->verified, snapshot, path);
}

/* What the engine would log is found, and reported with its class. */
static void report_nothing(void *arg, int priority, const char *path, const char *text)
{
	const struct invocation *invocation = arg;

	(void)priority;
	if (invocation->verbosity > 1)
		notice(invocation, "%s: %s", path == NULL ? "" : path, text);
}

/* ---- Options --------------------------------------------------------------------------------- */

static int take_sample(struct verify_run *run)
{
	const char *text = option_value(run->session.invocation, "sample");
	char *end = NULL;
	long percent = 100;

	if (text != NULL) {
		percent = strtol(text, &end, 10);
		if (end == text || (strcmp(end, "") != 0 && strcmp(end, "%") != 0) || percent < 1 ||
		    percent > 100)
			return fail(run->session.invocation, EXIT_USAGE,
				    "--sample %s: a number from 1 to 100", text);
	}
	run->options.sample_percent = (unsigned)percent;
	return 0;
}

static int take_root(struct verify_run *run)
{
	struct invocation *invocation = run->session.invocation;
	const char *text = option_value(invocation, "expect-root");

	if (text == NULL)
		return 0;
	if (invocation->operand_count != 2)
		return fail(invocation, EXIT_USAGE, "--expect-root is for one snapshot");
	if (seal_root_parse(text, run->root) < 0)
		return fail(invocation, EXIT_USAGE,
			    "--expect-root %s: not a root as 'snapshot seal' prints it", text);
	run->options.expected_root = run->root;
	return 0;
}

static int take_options(struct verify_run *run)
{
	struct invocation *invocation = run->session.invocation;
	int r = take_sample(run);

	run->options.is_structure_only = option_is_set(invocation, "structure");
	if (r == 0)
		r = take_root(run);
	if (r == 0 && run->options.is_structure_only && option_is_set(invocation, "resume"))
		return fail(invocation, EXIT_USAGE,
			    "--structure reads nothing that --resume "
			    "could leave out");
	return r != 0 ? r : threads_option(&run->session, &run->options.threads);
}

static int open_volume(struct verify_run *run)
{
	const struct store_options options = {
		.access = STORE_READ,
		.can_block = true,
		.report = report_nothing,
		.report_arg = run->session.invocation,
	};
	struct store_error error = { 0 };
	int r = session_open_volume(&run->session, operand(run->session.invocation, 0));

	if (r == 0)
		r = session_open_kms(&run->session);
	if (r != 0)
		return r;
	if (access_open_store(&run->session.access, &options, &run->session.store, &error) < 0)
		return session_fail(&run->session, &error);
	run->options.store = run->session.store;
	return 0;
}

/* ---- Running --------------------------------------------------------------------------------- */

static void add_snapshot(struct verify_run *run, struct snapshot *snapshot,
			 const struct verify_counts *counts)
{
	struct json_object *object = document_new_object();
	const bool is_foreign = snapshot_state(snapshot) == SNAPSHOT_FOREIGN;
	char root[SEAL_ROOT_TEXT_SIZE];

	document_add_path(object, "name", snapshot_name(snapshot));
	document_add_uuid(object, "id", is_foreign ? NULL : snapshot_id(snapshot));
	document_add_text(object, "state", snapshot_state_name(snapshot_state(snapshot)));
	if (counts->has_root)
		seal_root_format(counts->root, root);
	document_add_text(object, "root", counts->has_root ? root : NULL);
	document_add_number(object, "files", counts->files);
	document_add_number(object, "bytes", counts->bytes);
	document_add_number(object, "skipped_files", counts->skipped);
	document_append(run->snapshots, object);
	run->files += counts->files;
	run->bytes += counts->bytes;
	run->skipped += counts->skipped;
}

/* Retention may ask for snapshots that are verified: all of this one was read, and nothing was found. */
static void remember_verified(struct verify_run *run, struct snapshot *snapshot,
			      const struct verify_counts *counts)
{
	struct session *session = &run->session;
	int r = 0;

	if (!counts->has_root || run->options.is_structure_only ||
	    run->options.sample_percent < 100)
		return;
	r = trust_see_verified(session->access.trust, &store_volume(session->store)->volume,
			       snapshot_id(snapshot), counts->root);
	if (r < 0)
		notice(session->invocation, "%s: not remembered as verified: %s",
		       snapshot_name(snapshot), strerror(-r));
}

static int verify_one(void *arg, struct snapshot *snapshot, int fd)
{
	struct verify_run *run = arg;
	struct verify_counts counts = { 0 };
	const uint64_t before = findings_total(&run->findings);
	const int r = verify_snapshot(&run->options, snapshot, fd, &counts);

	if (r < 0)
		return session_fail_errno(&run->session, r, "snapshot", snapshot_name(snapshot));
	add_snapshot(run, snapshot, &counts);
	if (findings_total(&run->findings) == before)
		remember_verified(run, snapshot, &counts);
	return 0;
}

static int verify_named(struct verify_run *run, const char *name)
{
	struct store_error error = { 0 };
	struct snapshot *snapshot = NULL;
	int fd = -1;
	int r = change_find_snapshot(run->session.store, name, &snapshot, &fd, &error);

	if (r < 0)
		return session_fail(&run->session, &error);
	r = verify_one(run, snapshot, fd);
	snapshot_put(snapshot);
	close(fd);
	return r;
}

static int verify_all(struct verify_run *run)
{
	struct snapshot *root = snapshot_root(run->session.store);
	int r = verify_one(run, root, store_root_fd(run->session.store));

	snapshot_put(root);
	return r != 0 ? r : snapshot_each(run->session.store, verify_one, run);
}

static int verify(struct verify_run *run)
{
	const struct invocation *invocation = run->session.invocation;
	int r = verify_volume(&run->options);

	if (r < 0)
		return session_fail_errno(&run->session, r, "volume", run->session.access.backing);
	r = 0;
	if (invocation->operand_count == 1)
		return verify_all(run);
	for (int i = 1; r == 0 && i < invocation->operand_count; i++)
		r = verify_named(run, operand(invocation, i));
	return r;
}

/* ---- What there is to do --------------------------------------------------------------------- */

struct planning {
	struct store *store;
	struct usage total;
};

static int plan_one(void *arg, struct snapshot *snapshot, int fd)
{
	struct planning *planning = arg;
	const struct usage_options options = {
		.layout = snapshot_is_encrypted(snapshot) ? store_layout(planning->store) : NULL,
		.has_sidecars = snapshot_has_encrypted_names(snapshot),
		.skip_depth = snapshot_kind(snapshot) == SNAPSHOT_ROOT
				      ? store_volume(planning->store)->snapshot_depth
				      : 0,
	};
	struct usage usage = { 0 };

	/* Only for the display: what cannot be counted is found later. */
	if (usage_count(fd, &options, &usage) == 0) {
		planning->total.bytes += usage.bytes;
		planning->total.files += usage.files;
	}
	return 0;
}

static void plan(struct verify_run *run)
{
	const struct invocation *invocation = run->session.invocation;
	struct planning planning = { .store = run->session.store };

	if (invocation->operand_count == 1)
		(void)!snapshot_each(run->session.store, plan_one, &planning);
	for (int i = 1; i < invocation->operand_count; i++) {
		struct store_error ignored = { 0 };
		struct snapshot *snapshot = NULL;
		int fd = -1;

		if (change_find_snapshot(run->session.store, operand(invocation, i), &snapshot, &fd,
					 &ignored) < 0)
			continue;
		(void)plan_one(&planning, snapshot, fd);
		snapshot_put(snapshot);
		close(fd);
	}
	progress_total(run->progress, planning.total.files,
		       planning.total.bytes / 100 * run->options.sample_percent);
}

/* ---- Reporting ------------------------------------------------------------------------------- */

static void print_json(struct verify_run *run)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.verify/1");

	document_add_uuid(output, "volume", &store_volume(run->session.store)->volume);
	document_add_path(output, "backing", run->session.access.backing);
	document_add_bool(output, "structure_only", run->options.is_structure_only);
	document_add_number(output, "sample_percent", run->options.sample_percent);
	document_add_bool(output, "resumed", option_is_set(run->session.invocation, "resume"));
	document_add(output, "snapshots", TAKE(run->snapshots));
	findings_json(&run->findings, output);
	document_print(output, stdout);
}

static void print_text(const struct verify_run *run)
{
	char bytes[HUMAN_SIZE];

	printf("%s: %" PRIu64 " files, %s read", run->session.access.backing, run->files,
	       human_bytes(run->bytes, bytes));
	if (run->skipped > 0)
		printf(", %" PRIu64 " files verified before", run->skipped);
	printf(": %" PRIu64 " findings", findings_total(&run->findings));
	if (run->findings.notices > 0)
		printf(", %" PRIu64 " notices (-v shows them)", run->findings.notices);
	printf("\n");
}

static int report(struct verify_run *run)
{
	if (run->session.invocation->is_json)
		print_json(run);
	else if (!run->session.invocation->is_quiet)
		print_text(run);
	return findings_total(&run->findings) > 0 ? EXIT_FINDINGS : EXIT_OK;
}

/* ---- The command ----------------------------------------------------------------------------- */

static int open_verified(struct verify_run *run)
{
	const int r = verified_open(trust_state_dir(run->session.access.trust),
				    &store_volume(run->session.store)->volume,
				    option_is_set(run->session.invocation, "resume"),
				    &run->verified);

	return r < 0 ? fail(run->session.invocation, EXIT_FAILED, "state directory: %s",
			    strerror(-r))
		     : 0;
}

static int run_verify(struct verify_run *run)
{
	const struct progress_options shown = {
		.verb = "verified",
		.items = "files",
		.has_bytes = !run->options.is_structure_only,
	};
	int r = progress_start(run->session.invocation, &shown, &run->progress);

	if (r < 0)
		return fail(run->session.invocation, EXIT_FAILED, "progress: %s", strerror(-r));
	plan(run);
	r = verify(run);
	progress_stop(run->progress);
	run->progress = NULL;
	return r;
}

int cmd_verify(struct invocation *invocation)
{
	struct verify_run run = { .snapshots = document_new_array() };
	struct verify_observer observer = {
		.found = observe_found,
		.current = observe_current,
		.done = observe_done,
		.arg = &run,
	};
	int r = 0;

	session_init(&run.session, invocation);
	findings_init(&run.findings, invocation);
	run.options.observer = &observer;
	r = take_options(&run);
	if (r == 0)
		r = open_volume(&run);
	if (r == 0 && !run.options.is_structure_only && run.options.sample_percent == 100) {
		r = open_verified(&run);
		observer.is_done = observe_is_done;
		observer.mark_done = observe_mark_done;
	}
	if (r == 0)
		r = run_verify(&run);
	verified_close(run.verified, r == 0);
	if (r == 0)
		r = report(&run);
	document_free(run.snapshots);
	findings_free(&run.findings);
	session_close(&run.session);
	return r;
}
