/* SPDX-License-Identifier: Apache-2.0 */
/* What prune would do with each snapshot, and why. */
#ifndef SNAPCRYPT_FS_CMD_PRUNE_PLAN_H
#define SNAPCRYPT_FS_CMD_PRUNE_PLAN_H

#include "fs/control/policy.h"
#include "fs/document.h"
#include "fs/store/labels.h"
#include "fs/store/snapshot.h"

#define PLAN_REASON_SIZE 256

/*
 * One snapshot.  Times and names of sealed ones are those of the seal record.
 *
 *   is_judged    false: a stream, foreign, duplicate or not encrypted: rules do not touch it
 *   is_buried    its deletion was interrupted: it goes whatever the rules say
 *   is_doubtful  its labels cannot be believed: it stays
 */
struct plan_row {
	char *name;
	struct uuid id;
	enum snapshot_state state;
	int64_t time_s;
	char *group;
	struct labels_record labels;
	bool is_judged;
	bool is_buried;
	bool is_doubtful;
	bool is_trusted;
	bool is_verified;
	bool is_deleted; /* as planned; then, as done */
	char reason[PLAN_REASON_SIZE];
};

struct plan {
	struct plan_row *rows;
	size_t count;
	size_t delete_count;
};
void plan_free(struct plan *plan);

/* Look at every snapshot.  GROUPS of POLICY say in which group each is. */
MUST_CHECK int plan_read(struct store *store, struct trust *trust, const struct policy *policy,
			 struct plan *ret_plan, struct store_error *reterr);

/*
 * Judge them at NOW_S.  -EPERM, exit 5: the clock cannot be believed; BELIEVES_GAP: a long time without a snapshot is no reason to
 * refuse.
 */
struct plan_options {
	int64_t now_s;
	bool includes_open;
	bool believes_gap;
};
MUST_CHECK int plan_decide(struct plan *plan, const struct policy *policy,
			   const struct plan_options *options, struct store_error *reterr);

struct json_object *plan_document(const struct plan *plan);

#endif
