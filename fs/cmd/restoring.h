/* SPDX-License-Identifier: Apache-2.0 */
/* What restore and export share: one snapshot that is read and verified, from the options to the report. */
#ifndef SNAPCRYPT_FS_CMD_RESTORING_H
#define SNAPCRYPT_FS_CMD_RESTORING_H

#include "fs/cmd/findings.h"
#include "fs/cmd/progress.h"
#include "fs/cmd/restore_check.h"

/*
 *   view      of a sealed snapshot; NULL: it is not sealed
 *   planned   what is in it
 *   done      what has become of it
 */
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
	struct restore_observer observer;
};

void restoring_init(struct restoring *restoring, struct invocation *invocation);
void restoring_close(struct restoring *restoring);

/* Each returns 0 or an exit code, reported with fail(). */

/* VOLUME and SNAPSHOT are the first operands: open both, and check whether it may be restored. */
MUST_CHECK int restoring_open(struct restoring *restoring);

/* Options for restoring it into the target; the caller changes what is to be otherwise. */
struct restore_options restoring_options(struct restoring *restoring);

/* Count what there is, and whether it fits into the target. */
MUST_CHECK int restoring_plan(struct restoring *restoring, const struct restore_options *options);

/* Make the target's directory where it is not there, and mark it as unfinished. */
MUST_CHECK int restoring_make_target(struct restoring *restoring);

/* Write it down (audit log), then do it, with progress.  VERB: "restored". */
MUST_CHECK int restoring_run(struct restoring *restoring, const struct restore_options *options,
			     const char *verb);

/* Take the mark away, and give the target's directory the times that this has changed. */
MUST_CHECK int restoring_finish_target(struct restoring *restoring);

/* Exit code by what was found, reported. */
int restoring_outcome(struct restoring *restoring);

/* Into OUTPUT: "volume", "snapshot", "target". */
void restoring_document(struct restoring *restoring, struct json_object *output);

void restoring_counts_document(const struct restore_counts *counts, struct json_object *output);

#endif
