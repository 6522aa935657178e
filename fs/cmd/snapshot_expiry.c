/* SPDX-License-Identifier: Apache-2.0 */
/* The retention of listed snapshots: the plan of prune, looked at from one of them. */
#include "fs/cmd/snapshot_expiry.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "fs/cmd/prune_plan.h"

static const struct plan_row *find(const struct plan *plan, const struct snapshot_row *row)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->rows[i].is_judged && uuid_equal(&plan->rows[i].id, &row->id))
			return &plan->rows[i];
	return NULL;
}

/* Only these two ends are known beforehand; what a daily rule keeps depends on the snapshots that follow. */
static int64_t end_of(const struct plan_row *planned, const struct retention *rules)
{
	if (planned->is_buried || planned->is_doubtful || planned->labels.hold_count > 0)
		return 0;
	if (planned->labels.keep_until_s > 0)
		return planned->labels.keep_until_s;
	return strcmp(planned->reason, retention_reason_name(RETENTION_WITHIN)) == 0
		       ? planned->time_s + rules->keep_within_s
		       : 0;
}

static int fill(struct snapshot_row *row, const struct plan_row *planned,
		const struct policy *policy)
{
	const bool has_rules = retention_has_rules(&policy->rules);
	const char *text = planned->reason;

	row->expires_s = end_of(planned, &policy->rules);
	/* Without a rule prune deletes nothing. */
	if (!has_rules && planned->is_deleted && !planned->is_buried)
		text = "no rules";
	else if (planned->is_deleted)
		text = "next prune";
	row->retention = strdup(text);
	return row->retention == NULL ? -ENOMEM : 0;
}

int snapshot_expiry_read(struct session *session, struct snapshot_rows *rows)
{
	const struct plan_options options = { .now_s = time(NULL), .believes_gap = true };
	CLEANUP(policy_cleanup) struct policy policy = { 0 };
	struct store_error ignored = { 0 };
	struct plan plan = { 0 };
	int r = policy_of_store(session->store, &policy, &ignored);

	if (r == 0)
		r = plan_read(session->store, session->access.trust, &policy, &plan, &ignored);
	if (r == 0)
		r = plan_decide(&plan, &policy, &options, &ignored);
	for (size_t i = 0; r == 0 && i < rows->count; i++) {
		const struct plan_row *planned = find(&plan, &rows->rows[i]);

		if (planned != NULL)
			r = fill(&rows->rows[i], planned, &policy);
	}
	plan_free(&plan);
	return r == -ENOMEM ? r : 0;
}
