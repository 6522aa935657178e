/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the slots of the data keys of one volume: which, by whom, and what it came to. */
#ifndef SNAPCRYPT_FS_CMD_SLOT_RUN_H
#define SNAPCRYPT_FS_CMD_SLOT_RUN_H

#include "fs/cmd/session.h"
#include "fs/cmd/slot_needs.h"
#include "fs/control/slot_request.h"

/* A data key with something to do. */
struct slot_item {
	struct uuid dek;
	struct slot_outcome outcome;
	bool is_done; /* OUTCOME is filled */
};

/*
 *   seen      data keys that were looked at
 *   before    keys that lose slots, and the snapshots that need them
 *   after     the same keys afterwards
 *   mount     the mount that makes the change, or NULL
 */
struct slot_run {
	struct session *session;
	const struct control_mount *mount;
	struct slot_change change;
	struct uuid snapshot; /* only its data keys; zero: all */
	struct slot_item *items;
	size_t count;
	size_t seen;
	size_t unreadable;
	struct slot_needs before;
	struct slot_needs after;
	size_t changed;
	size_t failed;
	bool touches_primary;
	bool is_configured; /* the configuration says what new data keys get */
};

void slot_run_free(struct slot_run *run);

/* Each returns 0 or an exit code, reported with fail(). */

/* Find what there is to do. */
MUST_CHECK int slot_run_plan(struct slot_run *run);

/* Do it; what failed for single data keys is counted and told with notices. */
MUST_CHECK int slot_run_execute(struct slot_run *run);

/* Change the settings for new data keys, and write the indexes again. */
MUST_CHECK int slot_run_finish(struct slot_run *run, bool changes_settings);

/* Count what needs the keys at this moment. */
MUST_CHECK int slot_run_count_needs(struct slot_run *run);

#endif
