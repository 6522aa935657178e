/* SPDX-License-Identifier: Apache-2.0 */
/* From the snapshots of a volume to a plan. */
#include "fs/cmd/prune_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/human.h"
#include "fs/store/removal.h"
#include "fs/store/seal.h"

static void row_free(struct plan_row *row)
{
	free(row->name);
	free(row->group);
	labels_record_free(&row->labels);
}

void plan_free(struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		row_free(&plan->rows[i]);
	free(plan->rows);
	*plan = (struct plan){ 0 };
}

/* ---- Reading ------------------------------------------------------------------------------------- */

struct reading {
	struct store *store;
	struct trust *trust;
	const struct policy *policy;
	struct plan *plan;
};

static int append(char **text, const char *part)
{
	char *joined = NULL;

	if (asprintf(&joined, "%s%s\n", *text, part) < 0)
		return -ENOMEM;
	free(*text);
	*text = joined;
	return 0;
}

/* What stands before the first digit of a name, as "db-" of "db-2026-11-24". */
static int append_prefix(char **text, const char *name)
{
	char *prefix = strndup(name, strcspn(name, "0123456789"));
	const int r = prefix == NULL ? -ENOMEM : append(text, prefix);

	free(prefix);
	return r;
}

/* The value of the tag NAME=VALUE; the tag itself where it has none; "" where there is no such tag. */
static const char *tag_value(const struct labels_record *labels, const char *name)
{
	const size_t length = strlen(name);

	for (size_t i = 0; i < labels->tag_count; i++) {
		const char *tag = labels->tags[i];

		if (strcmp(tag, name) == 0)
			return name;
		if (strncmp(tag, name, length) == 0 && tag[length] == '=')
			return tag + length + 1;
	}
	return "";
}

static int group_of(const struct policy *policy, const struct plan_row *row, char **ret_group)
{
	char *group = strdup("");
	int r = group == NULL ? -ENOMEM : 0;

	for (size_t i = 0; r == 0 && i < policy->group_count; i++) {
		const char *by = policy->groups[i];

		r = strcmp(by, "prefix") == 0
			    ? append_prefix(&group, row->name)
			    : append(&group, tag_value(&row->labels, by + strlen("tag:")));
	}
	if (r < 0) {
		free(group);
		return r;
	}
	*ret_group = group;
	return 0;
}

/* What its seal record says counts, not what the directory is called or when it was changed. */
static int read_seal(const struct reading *reading, struct plan_row *row)
{
	struct seal seal = { 0 };
	int r = seal_of_snapshot(reading->store, &row->id, &seal);

	if (r == -EBADMSG || r == -ENOENT) {
		row->is_trusted = false;
		return 0;
	}
	if (r < 0)
		return r;
	row->time_s = seal.record.sealed_s;
	row->is_trusted = row->is_trusted && trust_origin_is_trusted(seal.origin);
	row->is_verified = trust_is_verified(reading->trust, &seal.record.volume, &row->id,
					     seal.root);
	free(row->name);
	row->name = strdup(seal.record.name);
	seal_free(&seal);
	return row->name == NULL ? -ENOMEM : 0;
}

static int read_labels(const struct reading *reading, struct plan_row *row)
{
	const int r = labels_load(reading->store, &row->id, &row->labels);

	row->is_doubtful = r < 0 && r != -ENOMEM;
	return r == -ENOMEM ? r : 0;
}

static int fill_row(const struct reading *reading, struct snapshot *snapshot, struct plan_row *row)
{
	int r = 0;

	row->state = snapshot_state(snapshot);
	row->name = strdup(snapshot_name(snapshot));
	row->time_s = snapshot_created_s(snapshot);
	row->is_trusted = snapshot_is_trusted(snapshot);
	if (row->name == NULL)
		return -ENOMEM;
	if (row->state == SNAPSHOT_FOREIGN || row->state == SNAPSHOT_DUPLICATE ||
	    snapshot_kind(snapshot) != SNAPSHOT_PLAIN_DIRECTORY)
		return group_of(reading->policy, row, &row->group);
	row->id = *snapshot_id(snapshot);
	row->is_judged = snapshot_is_encrypted(snapshot);
	r = store_is_buried(reading->store, &row->id, &row->is_buried);
	if (r == 0)
		r = read_labels(reading, row);
	if (r == 0 && row->state == SNAPSHOT_SEALED)
		r = read_seal(reading, row);
	return r < 0 ? r : group_of(reading->policy, row, &row->group);
}

static int read_row(void *arg, struct snapshot *snapshot, int fd)
{
	const struct reading *reading = arg;
	struct plan *plan = reading->plan;
	struct plan_row *grown = reallocarray(plan->rows, plan->count + 1, sizeof(*grown));
	struct plan_row row = { 0 };
	int r = 0;

	(void)fd;
	if (grown == NULL)
		return -ENOMEM;
	plan->rows = grown;
	r = fill_row(reading, snapshot, &row);
	if (r < 0) {
		row_free(&row);
		return r;
	}
	plan->rows[plan->count++] = row;
	return 0;
}

static int oldest_first(const void *a, const void *b)
{
	const struct plan_row *left = a;
	const struct plan_row *right = b;

	if (left->time_s != right->time_s)
		return left->time_s < right->time_s ? -1 : 1;
	return strcmp(left->name, right->name);
}

int plan_read(struct store *store, struct trust *trust, const struct policy *policy,
	      struct plan *ret_plan, struct store_error *reterr)
{
	struct plan plan = { 0 };
	struct reading reading = { store, trust, policy, &plan };
	const int r = snapshot_each(store, read_row, &reading);

	if (r < 0) {
		plan_free(&plan);
		return store_fail(reterr, r, EXIT_STORAGE, "snapshots: %s", strerror(-r));
	}
	if (plan.count > 1)
		qsort(plan.rows, plan.count, sizeof(*plan.rows), oldest_first);
	*ret_plan = plan;
	return 0;
}

/* ---- Deciding ------------------------------------------------------------------------------------ */

static struct retention_item item_of(const struct plan_row *row)
{
	return (struct retention_item){
		.time_s = row->time_s,
		.group = row->group,
		.tags = (const char *const *)row->labels.tags,
		.tag_count = row->labels.tag_count,
		.keep_until_s = row->labels.keep_until_s,
		.is_sealed = row->state == SNAPSHOT_SEALED,
		.is_trusted = row->is_trusted,
		.is_verified = row->is_verified,
		.is_held = row->labels.hold_count > 0 || row->is_doubtful,
	};
}

static void describe(struct plan_row *row, const struct retention_verdict *verdict)
{
	size_t used = 0;

	row->is_deleted = verdict->reasons == 0;
	if (row->is_deleted) {
		snprintf(row->reason, sizeof(row->reason), "%s",
			 verdict->has_expired ? "its own retention has ended" : "no rule keeps it");
		return;
	}
	for (unsigned i = 0; i < RETENTION_REASONS && used < sizeof(row->reason) - 32; i++) {
		const unsigned reason = 1U << i;

		if (!(verdict->reasons & reason))
			continue;
		used += (size_t)snprintf(row->reason + used, sizeof(row->reason) - used, "%s%s",
					 used > 0 ? ", " : "",
					 retention_reason_name((enum retention_reason)reason));
	}
	if (row->is_doubtful)
		snprintf(row->reason, sizeof(row->reason),
			 "held: its labels are not authentic or not the newest");
}

/* What the rules do not touch, and what goes without them. */
static void describe_others(struct plan_row *row)
{
	if (row->is_buried && row->is_judged) {
		row->is_deleted = true;
		snprintf(row->reason, sizeof(row->reason), "its deletion was interrupted");
	} else if (!row->is_judged) {
		snprintf(row->reason, sizeof(row->reason), "%s",
			 row->state == SNAPSHOT_FOREIGN     ? "foreign"
			 : row->state == SNAPSHOT_DUPLICATE ? "duplicate"
			 : uuid_is_zero(&row->id)           ? "stream"
							    : "not encrypted");
	}
}

static int check_clock(const struct retention_item *items, size_t count,
		       const struct plan_options *options, struct store_error *reterr)
{
	char newest[HUMAN_SIZE];
	char now[HUMAN_SIZE];
	int64_t newest_s = 0;
	const int r = retention_check_clock(items, count, options->now_s, &newest_s);

	human_time(newest_s, newest);
	human_time(options->now_s, now);
	if (r == -EOVERFLOW) {
		store_fail(reterr, -EPERM, EXIT_POLICY,
			   "a snapshot is of the future: of %s, and it is %s by this clock", newest,
			   now);
		store_advise(reterr, "set the clock right; nothing is deleted by a wrong one");
		return -EPERM;
	}
	if (r == -ESTALE && !options->believes_gap) {
		store_fail(
			reterr, -EPERM, EXIT_POLICY,
			"the newest snapshot is of %s, and it is %s by this clock: the clock has "
			"jumped, or no backup was made for long",
			newest, now);
		store_advise(reterr, "set the clock right, or say --accept-gap");
		return -EPERM;
	}
	return r == -ESTALE || r == 0 ? 0 : store_fail(reterr, r, EXIT_FAILED, "%s", strerror(-r));
}

static int judge(struct plan *plan, const struct policy *policy, const struct plan_options *options,
		 struct retention_item *items, struct retention_verdict *verdicts,
		 struct store_error *reterr)
{
	size_t count = 0;
	int r = 0;

	for (size_t i = 0; i < plan->count; i++)
		if (plan->rows[i].is_judged && !plan->rows[i].is_buried)
			items[count++] = item_of(&plan->rows[i]);
	r = check_clock(items, count, options, reterr);
	if (r < 0)
		return r;
	r = retention_decide(&policy->rules, items, count, options->now_s, options->includes_open,
			     verdicts);
	if (r < 0)
		return store_fail(reterr, r, EXIT_FAILED, "%s", strerror(-r));
	count = 0;
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->rows[i].is_judged && !plan->rows[i].is_buried)
			describe(&plan->rows[i], &verdicts[count++]);
		else
			describe_others(&plan->rows[i]);
		plan->delete_count += plan->rows[i].is_deleted ? 1 : 0;
	}
	return 0;
}

int plan_decide(struct plan *plan, const struct policy *policy, const struct plan_options *options,
		struct store_error *reterr)
{
	struct retention_item *items = calloc(plan->count + 1, sizeof(*items));
	struct retention_verdict *verdicts = calloc(plan->count + 1, sizeof(*verdicts));
	int r = items == NULL || verdicts == NULL
			? store_fail(reterr, -ENOMEM, EXIT_FAILED, "out of memory")
			: judge(plan, policy, options, items, verdicts, reterr);

	free(items);
	free(verdicts);
	return r;
}

struct json_object *plan_document(const struct plan *plan)
{
	struct json_object *array = document_new_array();

	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_row *row = &plan->rows[i];
		struct json_object *object = document_new_object();

		document_add_path(object, "name", row->name);
		document_add_uuid(object, "id", uuid_is_zero(&row->id) ? NULL : &row->id);
		document_add_text(object, "state", snapshot_state_name(row->state));
		document_add_time(object, "time", row->time_s);
		document_add_bool(object, "origin_verified", row->is_trusted);
		document_add_bool(object, "verified", row->is_verified);
		document_add_text(object, "action", row->is_deleted ? "delete" : "keep");
		document_add_text(object, "reason", row->reason);
		document_append(array, object);
	}
	return array;
}
