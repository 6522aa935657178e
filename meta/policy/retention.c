/* SPDX-License-Identifier: Apache-2.0 */
/* Which snapshots retention keeps. */
#include "meta/policy/retention.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HOUR_S 3600
#define DAY_S  86400

#define GAP_MIN_S  (2 * (int64_t)DAY_S)
#define GAP_FACTOR 4
#define GAP_LOOKS  32 /* newest snapshots whose gaps count */

/* ---- Periods --------------------------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t value, int64_t by)
{
	return value / by - (value % by < 0 ? 1 : 0);
}

/* Months since March of year 0, of the proleptic Gregorian calendar: with March first, a leap day is a year's last. */
static int64_t month_of(int64_t time_s)
{
	const int64_t day = floor_div(time_s, DAY_S) + 719468; /* since 0000-03-01 */
	const int64_t era = floor_div(day, 146097);
	const int64_t day_of_era = day - era * 146097;
	const int64_t year =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	const int64_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100);

	return (era * 400 + year) * 12 + (5 * day_of_year + 2) / 153;
}

int64_t retention_period_of(enum retention_period period, int64_t time_s)
{
	switch (period) {
	case RETENTION_HOURLY:
		return floor_div(time_s, HOUR_S);
	case RETENTION_DAILY:
		return floor_div(time_s, DAY_S);
	case RETENTION_WEEKLY:
		/* 1970-01-01 was a Thursday. */
		return floor_div(floor_div(time_s, DAY_S) + 3, 7);
	case RETENTION_MONTHLY:
		return month_of(time_s);
	case RETENTION_YEARLY:
		return floor_div(month_of(time_s) + 2, 12);
	}
	return 0;
}

/* ---- Rules ----------------------------------------------------------------------------------------------------- */

/* The snapshots of one group, newest first, as indexes into the items. */
struct group {
	const struct retention *retention;
	const struct retention_item *items;
	struct retention_verdict *verdicts;
	int64_t now_s;
	const size_t *members;
	size_t count;
};

static bool counts(const struct retention *retention, const struct retention_item *item)
{
	return item->is_sealed && item->is_trusted && item->keep_until_s == 0 &&
	       (item->is_verified || !retention->requires_verified);
}

/* Who takes part: each pass adds to what those before have kept, so nobody takes a place from one of an earlier pass. */
enum pass { PASS_COUNTING, PASS_SEALED, PASS_ALL };

static bool is_in_pass(const struct group *group, const struct retention_item *item, enum pass pass)
{
	if (pass == PASS_COUNTING)
		return counts(group->retention, item);
	return item->is_trusted && item->keep_until_s == 0 && (item->is_sealed || pass == PASS_ALL);
}

static bool is_younger(const struct group *group, const struct retention_item *item,
		       int64_t duration_s)
{
	return duration_s > 0 && item->time_s > group->now_s - duration_s;
}

static void apply_last(const struct group *group, enum pass pass)
{
	uint64_t left = group->retention->keep_last;

	for (size_t i = 0; left > 0 && i < group->count; i++) {
		const size_t member = group->members[i];

		if (!is_in_pass(group, &group->items[member], pass))
			continue;
		group->verdicts[member].reasons |= RETENTION_LAST;
		left--;
	}
}

static void apply_period(const struct group *group, enum retention_period period, enum pass pass)
{
	const struct retention_keep *keep = &group->retention->keep[period];
	uint64_t used = 0;
	int64_t last = 0;

	for (size_t i = 0; i < group->count; i++) {
		const size_t member = group->members[i];
		const struct retention_item *item = &group->items[member];
		const int64_t number = retention_period_of(period, item->time_s);

		if (!is_in_pass(group, item, pass) || (used > 0 && number == last))
			continue;
		if (used >= keep->count && !is_younger(group, item, keep->duration_s))
			return;
		group->verdicts[member].reasons |= (unsigned)RETENTION_FIRST_PERIOD << period;
		last = number;
		used++;
	}
}

static void apply_rules(const struct group *group, enum pass pass)
{
	apply_last(group, pass);
	for (unsigned period = 0; period < RETENTION_PERIODS; period++)
		apply_period(group, (enum retention_period)period, pass);
}

static bool has_kept_tag(const struct retention *retention, const struct retention_item *item)
{
	for (size_t i = 0; i < retention->keep_tag_count; i++)
		for (size_t k = 0; k < item->tag_count; k++)
			if (strcmp(retention->keep_tags[i], item->tags[k]) == 0)
				return true;
	return false;
}

/* What keeps one whatever the others are. */
static unsigned own_reasons(const struct group *group, const struct retention_item *item,
			    bool includes_open)
{
	const struct retention *retention = group->retention;
	unsigned reasons = 0;

	if (item->keep_until_s == 0 && is_younger(group, item, retention->keep_within_s))
		reasons |= RETENTION_WITHIN;
	if (has_kept_tag(retention, item))
		reasons |= RETENTION_TAG;
	if (item->is_held)
		reasons |= RETENTION_HELD;
	if (item->keep_until_s > group->now_s)
		reasons |= RETENTION_OWN;
	if (is_younger(group, item, retention->lock_min_s))
		reasons |= RETENTION_LOCKED;
	if (!item->is_sealed && !includes_open)
		reasons |= RETENTION_OPEN;
	if (!item->is_trusted)
		reasons |= RETENTION_ORIGIN;
	return reasons;
}

/* Never fewer than min_keep that count; where there are not so many, nothing sealed of the group is deleted. */
static void apply_min_keep(const struct group *group)
{
	uint64_t kept = 0;

	for (size_t i = 0; i < group->count; i++) {
		const size_t member = group->members[i];

		if (counts(group->retention, &group->items[member]) &&
		    group->verdicts[member].reasons != 0)
			kept++;
	}
	for (unsigned look = 0; look < 2; look++) {
		for (size_t i = 0; i < group->count && kept < group->retention->min_keep; i++) {
			const size_t member = group->members[i];
			const struct retention_item *item = &group->items[member];
			const bool is_counting = counts(group->retention, item);

			if (group->verdicts[member].reasons != 0 || !item->is_sealed ||
			    is_counting != (look == 0))
				continue;
			group->verdicts[member].reasons = RETENTION_MIN_KEEP;
			kept += is_counting ? 1 : 0;
		}
	}
}

static void decide_group(const struct group *group, bool includes_open)
{
	apply_rules(group, PASS_COUNTING);
	apply_rules(group, PASS_SEALED);
	if (includes_open)
		apply_rules(group, PASS_ALL);
	for (size_t i = 0; i < group->count; i++) {
		const size_t member = group->members[i];

		group->verdicts[member].reasons |= own_reasons(group, &group->items[member],
							       includes_open);
	}
	apply_min_keep(group);
	for (size_t i = 0; i < group->count; i++) {
		const size_t member = group->members[i];

		group->verdicts[member].has_expired = group->verdicts[member].reasons == 0 &&
						      group->items[member].keep_until_s != 0;
	}
}

/* ---- Groups ---------------------------------------------------------------------------------------------------- */

struct place {
	const struct retention_item *item;
	size_t index;
};

/* By group, then newest first; of the same second, the later in the list first. */
static int compare_places(const void *a, const void *b)
{
	const struct place *left = a;
	const struct place *right = b;
	const int r = strcmp(left->item->group, right->item->group);

	if (r != 0)
		return r;
	if (left->item->time_s != right->item->time_s)
		return left->item->time_s < right->item->time_s ? 1 : -1;
	return left->index < right->index ? 1 : -1;
}

static int sort_items(const struct retention_item *items, size_t count, size_t **ret_order)
{
	struct place *places = calloc(count + 1, sizeof(*places));
	size_t *order = calloc(count + 1, sizeof(*order));

	if (!places || !order) {
		free(places);
		free(order);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++)
		places[i] = (struct place){ &items[i], i };
	if (count > 1)
		qsort(places, count, sizeof(*places), compare_places);
	for (size_t i = 0; i < count; i++)
		order[i] = places[i].index;
	free(places);
	*ret_order = order;
	return 0;
}

int retention_decide(const struct retention *retention, const struct retention_item *items,
		     size_t count, int64_t now_s, bool includes_open,
		     struct retention_verdict *verdicts)
{
	size_t *order = NULL;
	size_t first = 0;
	int r = sort_items(items, count, &order);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		verdicts[i] = (struct retention_verdict){ 0 };
	for (size_t i = 1; i <= count; i++) {
		struct group group = {
			.retention = retention,
			.items = items,
			.verdicts = verdicts,
			.now_s = now_s,
			.members = order + first,
			.count = i - first,
		};

		if (i < count && strcmp(items[order[first]].group, items[order[i]].group) == 0)
			continue;
		decide_group(&group, includes_open);
		first = i;
	}
	free(order);
	return 0;
}

bool retention_has_rules(const struct retention *retention)
{
	bool has_rules = retention->keep_within_s > 0 || retention->keep_last > 0;

	for (unsigned period = 0; period < RETENTION_PERIODS; period++)
		has_rules = has_rules || retention->keep[period].count > 0 ||
			    retention->keep[period].duration_s > 0;
	return has_rules;
}

/* ---- The clock ------------------------------------------------------------------------------------------------- */

static int newest_first(const void *a, const void *b)
{
	const int64_t left = *(const int64_t *)a;
	const int64_t right = *(const int64_t *)b;

	return (left < right) - (left > right);
}

int retention_check_clock(const struct retention_item *items, size_t count, int64_t now_s,
			  int64_t *ret_newest_s)
{
	int64_t *times = calloc(count + 1, sizeof(*times));
	int64_t gap = GAP_MIN_S;
	size_t used = 0;
	int r = 0;

	if (!times)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (items[i].is_trusted)
			times[used++] = items[i].time_s;
	if (used > 1)
		qsort(times, used, sizeof(*times), newest_first);
	for (size_t i = 1; i < used && i < GAP_LOOKS; i++)
		if ((times[i - 1] - times[i]) * GAP_FACTOR > gap)
			gap = (times[i - 1] - times[i]) * GAP_FACTOR;
	if (used > 0) {
		*ret_newest_s = times[0];
		if (times[0] > now_s + RETENTION_SKEW_S)
			r = -EOVERFLOW;
		else if (now_s - times[0] > gap)
			r = -ESTALE;
	}
	free(times);
	return r;
}

/* ---- Comparing and naming -------------------------------------------------------------------------------------- */

static bool has_tag(const struct retention *retention, const char *tag)
{
	for (size_t i = 0; i < retention->keep_tag_count; i++)
		if (strcmp(retention->keep_tags[i], tag) == 0)
			return true;
	return false;
}

const char *retention_weakened(const struct retention *before, const struct retention *after)
{
	if (after->keep_within_s < before->keep_within_s)
		return "keep_within";
	if (after->keep_last < before->keep_last)
		return "keep_last";
	for (unsigned period = 0; period < RETENTION_PERIODS; period++)
		if (after->keep[period].count < before->keep[period].count ||
		    after->keep[period].duration_s < before->keep[period].duration_s)
			return retention_period_name((enum retention_period)period);
	for (size_t i = 0; i < before->keep_tag_count; i++)
		if (!has_tag(after, before->keep_tags[i]))
			return "keep_tag";
	if (after->min_keep < before->min_keep)
		return "min_keep";
	if (before->requires_verified && !after->requires_verified)
		return "require_verified";
	if (after->lock < before->lock)
		return "policy_lock";
	return after->lock_min_s < before->lock_min_s ? "policy_lock_min" : NULL;
}

const char *retention_reason_name(enum retention_reason reason)
{
	static const char *const names[RETENTION_REASONS] = {
		"within", "last", "hourly", "daily",  "weekly",   "monthly", "yearly",
		"tag",    "held", "own",    "locked", "min_keep", "open",    "origin",
	};

	for (unsigned i = 0; i < RETENTION_REASONS; i++)
		if (reason == 1U << i)
			return names[i];
	return "none";
}

const char *retention_period_name(enum retention_period period)
{
	static const char *const names[RETENTION_PERIODS] = { "keep_hourly", "keep_daily",
							      "keep_weekly", "keep_monthly",
							      "keep_yearly" };

	return names[period];
}

const char *retention_lock_name(enum retention_lock lock)
{
	static const char *const names[] = { "none", "governance", "compliance" };

	return names[lock];
}
