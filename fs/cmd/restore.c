/* SPDX-License-Identifier: Apache-2.0 */
/* restore: a snapshot into a directory, not through the mount. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/findings.h"
#include "fs/cmd/human.h"
#include "fs/cmd/progress.h"
#include "fs/cmd/restore_check.h"
#include "fs/cmd/threads.h"
#include "fs/control/changes.h"

const struct option_spec options_restore[] = {
	{ "include", 0, "PATTERN", "only what it names and what is below; may be repeated" },
	{ "exclude", 0, "PATTERN", "without what it names; may be repeated" },
	{ "verify", 0, NULL, "read everything back and compare" },
	{ "unsealed", 0, NULL, "what is there of a snapshot that is not sealed" },
	{ "force", 0, NULL, "into a directory that is not empty" },
	{ "require-encryption", 0, NULL, "refuse a snapshot that is not encrypted" },
	{ "threads", 0, "N", "how many at a time; default as the machine has" },
	OPTION_DRY_RUN,
	{ NULL, 0, NULL, NULL },
};

/* One restore, from the options to the report. */
struct restoring {
	struct session session;
	struct snapshot *snapshot;
	int snapshot_fd;
	struct sealed_view *view;
	struct filter filter;
	struct restore_target target;
	struct restore_counts planned;
	struct restore_counts done;
	struct findings findings;
	struct progress *progress;
	unsigned threads;
};

/* ---- Observing ------------------------------------------------------------------------------- */

static void observe_failed(void *arg, const char *path, const struct finding *finding, int error)
{
	struct restoring *restoring = arg;
	const char *snapshot = snapshot_name(restoring->snapshot);

	progress_error(restoring->progress);
	if (finding != NULL) {
		struct finding named = *finding;

		named.snapshot = snapshot;
		findings_add(&restoring->findings, &named);
	} else {
		findings_add_failure(&restoring->findings, snapshot, path, error);
	}
}

static void observe_current(void *arg, const char *path)
{
	const struct restoring *restoring = arg;

	progress_current(restoring->progress, path);
}

static void observe_done(void *arg, uint64_t items, uint64_t bytes, bool was_there)
{
	const struct restoring *restoring = arg;

	if (was_there)
		progress_skip(restoring->progress, items, bytes);
	else
		progress_add(restoring->progress, items, bytes);
}

/* ---- Running --------------------------------------------------------------------------------- */

static uint64_t item_count(const struct restore_counts *counts)
{
	return counts->files + counts->symlinks + counts->special + counts->links + counts->resumed;
}

static int make_target(struct restoring *restoring)
{
	struct invocation *invocation = restoring->session.invocation;
	struct restore_target *target = &restoring->target;
	int r = 0;

	if (target->fd < 0) {
		if (mkdir(target->path, 0700) != 0)
			return fail(invocation, EXIT_FAILED, "%s: %s", target->path,
				    strerror(errno));
		target->fd = open(target->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (target->fd < 0)
			return fail(invocation, EXIT_FAILED, "%s: %s", target->path,
				    strerror(errno));
	}
	if (!target->marker.is_there)
		r = marker_write(target->fd, &target->marker);
	return r < 0 ? fail(invocation, EXIT_FAILED, "%s/%s: %s", target->path, MARKER_NAME,
			    strerror(-r))
		     : 0;
}

static int fail_early(struct restoring *restoring, int error)
{
	struct invocation *invocation = restoring->session.invocation;
	const int exit_code = session_fail_errno(&restoring->session, error, "restore into",
						 restoring->target.path);

	if (error == -ENOSPC || error == -EDQUOT)
		invocation->failure.exit_code = EXIT_FAILED;
	if (invocation->failure.advice[0] == '\0')
		advise(invocation, "run the same command again to go on where it stopped");
	return error == -ENOSPC || error == -EDQUOT ? EXIT_FAILED : exit_code;
}

static int run_restore(struct restoring *restoring, const struct restore_options *options)
{
	const struct progress_options shown = {
		.verb = "restored",
		.items = "objects",
		.has_bytes = true,
	};
	int r = progress_start(restoring->session.invocation, &shown, &restoring->progress);

	if (r < 0)
		return fail(restoring->session.invocation, EXIT_FAILED, "progress: %s",
			    strerror(-r));
	progress_total(restoring->progress, item_count(&restoring->planned),
		       restoring->planned.bytes);
	r = restore_run(options, &restoring->done);
	progress_stop(restoring->progress);
	if (r < 0)
		return fail_early(restoring, r);
	r = marker_remove(restoring->target.fd);
	if (r < 0)
		return fail(restoring->session.invocation, EXIT_FAILED, "%s/%s: %s",
			    restoring->target.path, MARKER_NAME, strerror(-r));
	return 0;
}

/* The marker's removal changed the time of the target's own directory. */
static void set_times_again(const struct restoring *restoring)
{
	if (restoring->done.has_times && futimens(restoring->target.fd, restoring->done.times) != 0)
		notice(restoring->session.invocation, "%s: its time was not set: %s",
		       restoring->target.path, strerror(errno));
}

static int restore(struct restoring *restoring)
{
	const struct restore_observer observer = {
		.failed = observe_failed,
		.current = observe_current,
		.done = observe_done,
		.arg = restoring,
	};
	struct restore_options options = {
		.snapshot = restoring->snapshot,
		.snapshot_fd = restoring->snapshot_fd,
		.view = restoring->view,
		.filter = &restoring->filter,
		.verifies = option_is_set(restoring->session.invocation, "verify"),
		.threads = restoring->threads,
		.observer = &observer,
	};
	const struct marker *marker = &restoring->target.marker;
	int r = restore_count(&options, &restoring->planned);

	if (r < 0)
		return session_fail_errno(&restoring->session, r, "snapshot",
					  snapshot_name(restoring->snapshot));
	r = restore_check_space(&restoring->session, &restoring->target, &restoring->planned);
	if (r != 0 || option_is_set(restoring->session.invocation, "dry-run"))
		return r;
	r = make_target(restoring);
	if (r != 0)
		return r;
	options.target_fd = restoring->target.fd;
	options.replaces = marker->replaces || marker->is_there;
	options.resumes = marker->is_there && marker->can_skip;
	options.started = marker->started;
	r = run_restore(restoring, &options);
	if (r == 0)
		set_times_again(restoring);
	return r;
}

/* ---- Reporting ------------------------------------------------------------------------------- */

static void print_json(struct restoring *restoring, bool is_dry)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.restore/1");
	struct json_object *object = document_new_object();
	const struct restore_counts *counts = is_dry ? &restoring->planned : &restoring->done;

	document_add_uuid(output, "volume", &store_volume(restoring->session.store)->volume);
	document_add_path(object, "name", snapshot_name(restoring->snapshot));
	document_add_uuid(object, "id", snapshot_id(restoring->snapshot));
	document_add_text(object, "state",
			  snapshot_state_name(snapshot_state(restoring->snapshot)));
	document_add_bool(object, "origin_verified", snapshot_is_trusted(restoring->snapshot));
	document_add(output, "snapshot", object);
	document_add_path(output, "target", restoring->target.path);
	document_add_bool(output, "dry_run", is_dry);
	document_add_bool(output, "verified",
			  !is_dry && option_is_set(restoring->session.invocation, "verify"));
	document_add_number(output, "files", counts->files);
	document_add_number(output, "directories", counts->directories);
	document_add_number(output, "symlinks", counts->symlinks);
	document_add_number(output, "special", counts->special);
	document_add_number(output, "links", counts->links);
	document_add_number(output, "bytes", counts->bytes);
	document_add_number(output, "resumed_files", counts->resumed);
	document_add_number(output, "hidden_names", counts->hidden);
	document_add_number(output, "failures", counts->failures);
	findings_json(&restoring->findings, output);
	document_print(output, stdout);
}

static void print_text(const struct restoring *restoring, bool is_dry)
{
	const struct restore_counts *counts = is_dry ? &restoring->planned : &restoring->done;
	char bytes[HUMAN_SIZE];

	printf("%s %" PRIu64 " files, %" PRIu64 " directories, %" PRIu64 " other objects, %s",
	       is_dry ? "Would restore" : "Restored", (uint64_t)counts->files,
	       (uint64_t)counts->directories,
	       (uint64_t)(counts->symlinks + counts->special + counts->links),
	       human_bytes(counts->bytes, bytes));
	if (counts->resumed > 0)
		printf(", and %" PRIu64 " files were there already", (uint64_t)counts->resumed);
	printf("\n");
}

static int outcome(struct restoring *restoring)
{
	struct invocation *invocation = restoring->session.invocation;
	const struct restore_counts *counts = &restoring->done;

	if (findings_total(&restoring->findings) > 0) {
		fail(invocation, EXIT_FINDINGS,
		     "%s: %" PRIu64 " findings, %" PRIu64 " objects are missing in %s",
		     snapshot_name(restoring->snapshot), findings_total(&restoring->findings),
		     (uint64_t)counts->failures, restoring->target.path);
		return EXIT_FINDINGS;
	}
	if (restoring->findings.failures > 0)
		return fail(invocation, EXIT_PARTIAL, "%s: %" PRIu64 " objects failed",
			    restoring->target.path, restoring->findings.failures);
	return EXIT_OK;
}

static int report(struct restoring *restoring)
{
	const bool is_dry = option_is_set(restoring->session.invocation, "dry-run");

	if (restoring->session.invocation->is_json)
		print_json(restoring, is_dry);
	else if (!restoring->session.invocation->is_quiet)
		print_text(restoring, is_dry);
	return is_dry ? EXIT_OK : outcome(restoring);
}

/* ---- The command ----------------------------------------------------------------------------- */

static int take_patterns(struct invocation *invocation, struct filter *filter)
{
	const char *pattern = NULL;

	while (filter->include_count < FILTER_PATTERNS_MAX &&
	       (pattern = option_nth(invocation, "include", filter->include_count)) != NULL)
		filter->includes[filter->include_count++] = pattern;
	while (filter->exclude_count < FILTER_PATTERNS_MAX &&
	       (pattern = option_nth(invocation, "exclude", filter->exclude_count)) != NULL)
		filter->excludes[filter->exclude_count++] = pattern;
	return 0;
}

/* Directories stay open until all below them is done. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int open_snapshot(struct restoring *restoring, const char *name)
{
	struct store_error error = { 0 };
	int r = change_find_snapshot(restoring->session.store, name, &restoring->snapshot,
				     &restoring->snapshot_fd, &error);

	if (r < 0)
		return session_fail(&restoring->session, &error);
	return restore_check_snapshot(&restoring->session, restoring->snapshot, &restoring->view);
}

static int run(struct restoring *restoring, struct invocation *invocation)
{
	int r = take_patterns(invocation, &restoring->filter);

	if (r == 0)
		r = threads_option(&restoring->session, &restoring->threads);
	if (r == 0)
		r = session_open_all(&restoring->session, operand(invocation, 0), STORE_READ);
	if (r == 0)
		r = open_snapshot(restoring, operand(invocation, 1));
	if (r == 0)
		r = restore_check_target(&restoring->session, restoring->snapshot,
					 operand(invocation, 2), &restoring->target);
	if (r == 0)
		r = restore(restoring);
	return r == 0 ? report(restoring) : r;
}

int cmd_restore(struct invocation *invocation)
{
	struct restoring restoring = { .snapshot_fd = -1 };
	int r = 0;

	raise_descriptor_limit();
	restoring.target.fd = -1;
	restoring.target.above = -1;
	session_init(&restoring.session, invocation);
	findings_init(&restoring.findings, invocation);
	if (restoring.findings.stream != NULL)
		restoring.findings.stream = stderr;
	r = run(&restoring, invocation);
	restore_target_close(&restoring.target);
	sealed_view_put(restoring.view);
	snapshot_put(restoring.snapshot);
	if (restoring.snapshot_fd >= 0)
		close(restoring.snapshot_fd);
	findings_free(&restoring.findings);
	session_close(&restoring.session);
	return r;
}
