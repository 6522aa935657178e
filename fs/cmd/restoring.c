/* SPDX-License-Identifier: Apache-2.0 */
/* What restore and export share. */
#include "fs/cmd/restoring.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cmd/threads.h"
#include "fs/control/changes.h"

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

/* ---- Opening --------------------------------------------------------------------------------- */

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

void restoring_init(struct restoring *restoring, struct invocation *invocation)
{
	raise_descriptor_limit();
	*restoring = (struct restoring){ .snapshot_fd = -1 };
	restoring->target.fd = -1;
	restoring->target.above = -1;
	restoring->observer = (struct restore_observer){
		.failed = observe_failed,
		.current = observe_current,
		.done = observe_done,
		.arg = restoring,
	};
	session_init(&restoring->session, invocation);
	findings_init(&restoring->findings, invocation);
	if (restoring->findings.stream != NULL)
		restoring->findings.stream = stderr;
}

void restoring_close(struct restoring *restoring)
{
	restore_target_close(&restoring->target);
	sealed_view_put(restoring->view);
	snapshot_put(restoring->snapshot);
	if (restoring->snapshot_fd >= 0)
		close(restoring->snapshot_fd);
	findings_free(&restoring->findings);
	session_close(&restoring->session);
}

int restoring_open(struct restoring *restoring)
{
	struct invocation *invocation = restoring->session.invocation;
	int r = take_patterns(invocation, &restoring->filter);

	if (r == 0)
		r = threads_option(&restoring->session, &restoring->threads);
	if (r == 0)
		r = session_open_all(&restoring->session, operand(invocation, 0), STORE_READ);
	return r != 0 ? r : open_snapshot(restoring, operand(invocation, 1));
}

/* ---- Running --------------------------------------------------------------------------------- */

struct restore_options restoring_options(struct restoring *restoring)
{
	return (struct restore_options){
		.snapshot = restoring->snapshot,
		.snapshot_fd = restoring->snapshot_fd,
		.view = restoring->view,
		.filter = &restoring->filter,
		.verifies = option_is_set(restoring->session.invocation, "verify"),
		.threads = restoring->threads,
		.observer = &restoring->observer,
	};
}

int restoring_plan(struct restoring *restoring, const struct restore_options *options)
{
	const int r = restore_count(options, &restoring->planned);

	if (r < 0)
		return session_fail_errno(&restoring->session, r, "snapshot",
					  snapshot_name(restoring->snapshot));
	return restore_check_space(&restoring->session, &restoring->target, &restoring->planned);
}

int restoring_make_target(struct restoring *restoring)
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

static int write_down(struct restoring *restoring)
{
	struct session *session = &restoring->session;

	return session_audit(session, AUDIT_RESTORE, &store_volume(session->store)->volume,
			     snapshot_id(restoring->snapshot), restoring->target.path);
}

static uint64_t item_count(const struct restore_counts *counts)
{
	return counts->files + counts->symlinks + counts->special + counts->links + counts->resumed;
}

static int fail_early(struct restoring *restoring, int error)
{
	struct invocation *invocation = restoring->session.invocation;
	const int exit_code = session_fail_errno(&restoring->session, error, "write to",
						 restoring->target.path);

	if (error == -ENOSPC || error == -EDQUOT)
		invocation->failure.exit_code = EXIT_FAILED;
	if (invocation->failure.advice[0] == '\0')
		advise(invocation, "run the same command again to go on where it stopped");
	return error == -ENOSPC || error == -EDQUOT ? EXIT_FAILED : exit_code;
}

int restoring_run(struct restoring *restoring, const struct restore_options *options,
		  const char *verb)
{
	struct invocation *invocation = restoring->session.invocation;
	const struct progress_options shown = {
		.verb = verb,
		.items = "objects",
		.has_bytes = true,
	};
	int r = write_down(restoring);

	if (r != 0)
		return r;
	r = progress_start(invocation, &shown, &restoring->progress);
	if (r < 0)
		return fail(invocation, EXIT_FAILED, "progress: %s", strerror(-r));
	progress_total(restoring->progress, item_count(&restoring->planned),
		       restoring->planned.bytes);
	r = restore_run(options, &restoring->done);
	progress_stop(restoring->progress);
	return r < 0 ? fail_early(restoring, r) : 0;
}

/* The marker's removal changed the time of the target's own directory. */
static void set_times_again(const struct restoring *restoring)
{
	if (restoring->done.has_times && futimens(restoring->target.fd, restoring->done.times) != 0)
		notice(restoring->session.invocation, "%s: its time was not set: %s",
		       restoring->target.path, strerror(errno));
}

int restoring_finish_target(struct restoring *restoring)
{
	const int r = marker_remove(restoring->target.fd);

	if (r < 0)
		return fail(restoring->session.invocation, EXIT_FAILED, "%s/%s: %s",
			    restoring->target.path, MARKER_NAME, strerror(-r));
	set_times_again(restoring);
	return 0;
}

/* ---- Reporting ------------------------------------------------------------------------------- */

int restoring_outcome(struct restoring *restoring)
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

void restoring_document(struct restoring *restoring, struct json_object *output)
{
	struct json_object *object = document_new_object();

	document_add_uuid(output, "volume", &store_volume(restoring->session.store)->volume);
	document_add_path(object, "name", snapshot_name(restoring->snapshot));
	document_add_uuid(object, "id", snapshot_id(restoring->snapshot));
	document_add_text(object, "state",
			  snapshot_state_name(snapshot_state(restoring->snapshot)));
	document_add_bool(object, "origin_verified", snapshot_is_trusted(restoring->snapshot));
	document_add(output, "snapshot", object);
	document_add_path(output, "target", restoring->target.path);
}

void restoring_counts_document(const struct restore_counts *counts, struct json_object *output)
{
	document_add_number(output, "files", counts->files);
	document_add_number(output, "directories", counts->directories);
	document_add_number(output, "symlinks", counts->symlinks);
	document_add_number(output, "special", counts->special);
	document_add_number(output, "links", counts->links);
	document_add_number(output, "bytes", counts->bytes);
	document_add_number(output, "resumed_files", counts->resumed);
	document_add_number(output, "hidden_names", counts->hidden);
	document_add_number(output, "failures", counts->failures);
}
