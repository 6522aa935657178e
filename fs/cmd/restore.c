/* SPDX-License-Identifier: Apache-2.0 */
/* restore: a snapshot into a directory, not through the mount. */
#include <inttypes.h>
#include <stdio.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/human.h"
#include "fs/cmd/restoring.h"

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

static int restore(struct restoring *restoring)
{
	struct restore_options options = restoring_options(restoring);
	const struct marker *marker = &restoring->target.marker;
	int r = restoring_plan(restoring, &options);

	if (r != 0 || option_is_set(restoring->session.invocation, "dry-run"))
		return r;
	r = restoring_make_target(restoring);
	if (r != 0)
		return r;
	options.target_fd = restoring->target.fd;
	options.replaces = marker->replaces || marker->is_there;
	options.resumes = marker->is_there && marker->can_skip;
	options.started = marker->started;
	r = restoring_run(restoring, &options, "restored");
	return r != 0 ? r : restoring_finish_target(restoring);
}

static void print_json(struct restoring *restoring, bool is_dry)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.restore/1");

	restoring_document(restoring, output);
	document_add_bool(output, "dry_run", is_dry);
	document_add_bool(output, "verified",
			  !is_dry && option_is_set(restoring->session.invocation, "verify"));
	restoring_counts_document(is_dry ? &restoring->planned : &restoring->done, output);
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

static int report(struct restoring *restoring)
{
	const bool is_dry = option_is_set(restoring->session.invocation, "dry-run");

	if (restoring->session.invocation->is_json)
		print_json(restoring, is_dry);
	else if (!restoring->session.invocation->is_quiet)
		print_text(restoring, is_dry);
	return is_dry ? EXIT_OK : restoring_outcome(restoring);
}

int cmd_restore(struct invocation *invocation)
{
	struct restoring restoring;
	int r = 0;

	restoring_init(&restoring, invocation);
	r = restoring_open(&restoring);
	if (r == 0)
		r = restore_check_target(&restoring.session, restoring.snapshot,
					 operand(invocation, 2), &restoring.target);
	if (r == 0)
		r = restore(&restoring);
	if (r == 0)
		r = report(&restoring);
	restoring_close(&restoring);
	return r;
}
