/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meta/policy/retention.h"

#define HISTORIES 10000
#define ITEMS_MAX 60
#define DAY_S     86400
#define NOW_S     INT64_C(1795489445) /* 2026-11-24, a Tuesday */

static const char *const tag_lists[][2] = { { "weekly", "db" }, { "db", "keep" } };

/* ---- A model that says the same in another way ------------------------------------------------------------------- */

/* The period as text, by the C library's calendar. */
static void period_text(unsigned period, int64_t time_s, char text[static 32])
{
	const time_t time = (time_t)time_s;
	struct tm tm;
	size_t length = 0;

	gmtime_r(&time, &tm);
	switch (period) {
	case 0:
		length = strftime(text, 32, "%F %H", &tm);
		break;
	case 1:
		length = strftime(text, 32, "%F", &tm);
		break;
	case 2:
		length = strftime(text, 32, "%G-%V", &tm);
		break;
	case 3:
		length = strftime(text, 32, "%Y-%m", &tm);
		break;
	default:
		length = strftime(text, 32, "%Y", &tm);
	}
	assert_true(length > 0);
}

static bool model_counts(const struct retention *rules, const struct retention_item *item)
{
	return item->is_sealed && item->is_trusted && item->keep_until_s == 0 &&
	       (item->is_verified || !rules->requires_verified);
}

/* Does A stand before B, newest first? */
static bool is_before(const struct retention_item *items, size_t a, size_t b)
{
	return items[a].time_s > items[b].time_s || (items[a].time_s == items[b].time_s && a > b);
}

/* IS_IN: who takes part. */
static bool model_rules(const struct retention *rules, const struct retention_item *items,
			size_t count, const bool *is_in, size_t self, int64_t now_s)
{
	uint64_t newer = 0;

	if (!is_in[self])
		return false;
	for (size_t i = 0; i < count; i++)
		newer += is_in[i] && strcmp(items[i].group, items[self].group) == 0 &&
					 is_before(items, i, self)
				 ? 1
				 : 0;
	if (newer < rules->keep_last)
		return true;
	for (unsigned period = 0; period < RETENTION_PERIODS; period++) {
		char periods[ITEMS_MAX][32];
		char own[32];
		size_t period_count = 0;
		bool is_newest = true;

		period_text(period, items[self].time_s, own);
		for (size_t i = 0; i < count; i++) {
			char other[32];
			bool is_known = false;

			if (!is_in[i] || strcmp(items[i].group, items[self].group) != 0 ||
			    !is_before(items, i, self))
				continue;
			period_text(period, items[i].time_s, other);
			is_newest = is_newest && strcmp(other, own) != 0;
			for (size_t k = 0; k < period_count; k++)
				is_known = is_known || strcmp(periods[k], other) == 0;
			if (!is_known)
				strcpy(periods[period_count++], other);
		}
		if (is_newest && (period_count < rules->keep[period].count ||
				  (rules->keep[period].duration_s > 0 &&
				   items[self].time_s > now_s - rules->keep[period].duration_s)))
			return true;
	}
	return false;
}

static bool model_own(const struct retention *rules, const struct retention_item *item,
		      int64_t now_s, bool includes_open)
{
	const int64_t age_s = now_s - item->time_s;

	for (size_t i = 0; i < rules->keep_tag_count; i++)
		for (size_t k = 0; k < item->tag_count; k++)
			if (strcmp(rules->keep_tags[i], item->tags[k]) == 0)
				return true;
	return (item->keep_until_s == 0 && age_s < rules->keep_within_s) || item->is_held ||
	       item->keep_until_s > now_s || age_s < rules->lock_min_s ||
	       (!item->is_sealed && !includes_open) || !item->is_trusted;
}

static void model_decide(const struct retention *rules, const struct retention_item *items,
			 size_t count, int64_t now_s, bool includes_open, bool *is_kept)
{
	for (size_t i = 0; i < count; i++)
		is_kept[i] = model_own(rules, &items[i], now_s, includes_open);
	for (unsigned pass = 0; pass < (includes_open ? 3 : 2); pass++) {
		bool is_in[ITEMS_MAX] = { false };

		for (size_t i = 0; i < count; i++)
			is_in[i] = pass == 0 ? model_counts(rules, &items[i])
					     : items[i].is_trusted && items[i].keep_until_s == 0 &&
						       (pass == 2 || items[i].is_sealed);
		for (size_t i = 0; i < count; i++)
			is_kept[i] = is_kept[i] ||
				     model_rules(rules, items, count, is_in, i, now_s);
	}
	/* Where too few are kept, the newest that would go stays; first of those that count, then of all that are sealed. */
	for (size_t self = 0; self < count; self++) {
		for (;;) {
			size_t best = count;
			uint64_t kept = 0;

			for (size_t i = 0; i < count; i++) {
				if (strcmp(items[i].group, items[self].group) != 0)
					continue;
				if (is_kept[i] && model_counts(rules, &items[i]))
					kept++;
				if (is_kept[i] || !items[i].is_sealed)
					continue;
				if (best == count ||
				    model_counts(rules, &items[i]) >
					    model_counts(rules, &items[best]) ||
				    (model_counts(rules, &items[i]) ==
					     model_counts(rules, &items[best]) &&
				     is_before(items, i, best)))
					best = i;
			}
			if (kept >= rules->min_keep || best == count)
				break;
			is_kept[best] = true;
		}
	}
}

/* ---- Random histories -------------------------------------------------------------------------------------------- */

static uint64_t random_state = 1;

static uint64_t draw(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static bool chance(uint64_t of_hundred)
{
	return draw(100) < of_hundred;
}

static void draw_rules(struct retention *rules)
{
	static const char *const keep_tags[] = { "keep", "other" };

	*rules = (struct retention){
		.keep_within_s = chance(50) ? (int64_t)draw(10) * DAY_S : 0,
		.keep_last = chance(30) ? draw(5) : 0,
		.keep_tags = keep_tags,
		.keep_tag_count = draw(3),
		.min_keep = draw(4),
		.requires_verified = chance(40),
		.lock_min_s = chance(20) ? (int64_t)draw(20) * DAY_S : 0,
	};
	for (unsigned period = 0; period < RETENTION_PERIODS; period++) {
		if (chance(40))
			rules->keep[period].count = draw(6);
		else if (chance(40))
			rules->keep[period].duration_s = (int64_t)draw(400) * DAY_S / 2;
	}
}

static void draw_item(struct retention_item *item)
{
	static const char *const groups[] = { "", "db", "files" };
	/* Some at one moment, some at the edges of periods. */
	static const int64_t grids[] = { 1, 3600, DAY_S, (int64_t)7 * DAY_S };
	const int64_t grid = grids[draw(4)];
	const int64_t age_s = (int64_t)draw((uint64_t)(chance(50) ? 30 : 900) * DAY_S);

	*item = (struct retention_item){
		.time_s = (NOW_S - age_s) / grid * grid,
		.group = groups[draw(3)],
		.tags = tag_lists[draw(2)],
		.tag_count = chance(20) ? draw(3) : 0,
		.keep_until_s = chance(10) ? NOW_S + (int64_t)draw(20) * DAY_S - 10 * DAY_S : 0,
		.is_sealed = chance(85),
		.is_trusted = chance(90),
		.is_verified = chance(60),
		.is_held = chance(5),
	};
}

static void retention_decides_as_a_simple_model_does(void **state)
{
	(void)state;
	for (unsigned history = 0; history < HISTORIES; history++) {
		struct retention_item items[ITEMS_MAX];
		struct retention_verdict verdicts[ITEMS_MAX];
		bool is_kept[ITEMS_MAX];
		struct retention rules;
		const size_t count = draw(history % 50 == 0 ? ITEMS_MAX : 20);
		const bool includes_open = chance(50);

		draw_rules(&rules);
		for (size_t i = 0; i < count; i++)
			draw_item(&items[i]);
		assert_int_equal(
			retention_decide(&rules, items, count, NOW_S, includes_open, verdicts), 0);
		model_decide(&rules, items, count, NOW_S, includes_open, is_kept);
		for (size_t i = 0; i < count; i++)
			if ((verdicts[i].reasons != 0) != is_kept[i])
				fail_msg("history %u, item %zu of %zu: reasons %x, model %d",
					 history, i, count, verdicts[i].reasons, is_kept[i]);
	}
}

static void junk_never_displaces_what_counts(void **state)
{
	(void)state;
	for (unsigned history = 0; history < HISTORIES; history++) {
		struct retention_item items[ITEMS_MAX];
		struct retention_verdict before[ITEMS_MAX];
		struct retention_verdict after[ITEMS_MAX];
		struct retention rules;
		const size_t count = 1 + draw(15);
		const size_t all = count + 1 + draw(20);

		draw_rules(&rules);
		for (size_t i = 0; i < all; i++)
			draw_item(&items[i]);
		/* Sealed by somebody else, not sealed, or sealed here and never verified. */
		for (size_t i = count; i < all; i++) {
			if (rules.requires_verified && chance(50))
				items[i].is_verified = false;
			else if (chance(50))
				items[i].is_trusted = false;
			else
				items[i].is_sealed = false;
		}
		assert_int_equal(retention_decide(&rules, items, count, NOW_S, true, before), 0);
		assert_int_equal(retention_decide(&rules, items, all, NOW_S, true, after), 0);
		for (size_t i = 0; i < count; i++)
			if (model_counts(&rules, &items[i]))
				assert_true((before[i].reasons == 0) == (after[i].reasons == 0));
	}
}

static void what_is_kept_stays_when_the_rest_is_gone(void **state)
{
	(void)state;
	for (unsigned history = 0; history < 2000; history++) {
		struct retention_item items[ITEMS_MAX];
		struct retention_verdict verdicts[ITEMS_MAX];
		struct retention rules;
		const size_t count = draw(30);
		size_t left = 0;

		draw_rules(&rules);
		for (size_t i = 0; i < count; i++)
			draw_item(&items[i]);
		assert_int_equal(retention_decide(&rules, items, count, NOW_S, false, verdicts), 0);
		for (size_t i = 0; i < count; i++)
			if (verdicts[i].reasons != 0)
				items[left++] = items[i];
		assert_int_equal(retention_decide(&rules, items, left, NOW_S, false, verdicts), 0);
		for (size_t i = 0; i < left; i++)
			assert_true(verdicts[i].reasons != 0);
	}
}

/* ---- Single facts ------------------------------------------------------------------------------------------------ */

static struct retention_item sealed_at(int64_t time_s)
{
	return (struct retention_item){
		.time_s = time_s, .group = "", .is_sealed = true, .is_trusted = true
	};
}

static void the_newest_of_a_day_is_kept(void **state)
{
	const struct retention rules = { .keep = { [RETENTION_DAILY] = { .count = 2 } } };
	const struct retention_item items[] = {
		sealed_at(NOW_S - 3 * DAY_S),
		sealed_at(NOW_S - 2 * DAY_S - 60),
		sealed_at(NOW_S - 2 * DAY_S),
		sealed_at(NOW_S),
	};
	struct retention_verdict verdicts[4];

	(void)state;
	assert_int_equal(retention_decide(&rules, items, 4, NOW_S, false, verdicts), 0);
	assert_int_equal(verdicts[0].reasons, 0);
	assert_int_equal(verdicts[1].reasons, 0);
	assert_int_equal(verdicts[2].reasons, RETENTION_FIRST_PERIOD << RETENTION_DAILY);
	assert_int_equal(verdicts[3].reasons, RETENTION_FIRST_PERIOD << RETENTION_DAILY);
	assert_string_equal(retention_reason_name((enum retention_reason)verdicts[3].reasons),
			    "daily");
}

static void own_retention_counts_in_place_of_the_rules(void **state)
{
	const struct retention rules = { .keep_within_s = 90 * DAY_S };
	struct retention_item items[] = { sealed_at(NOW_S - DAY_S), sealed_at(NOW_S - DAY_S) };
	struct retention_verdict verdicts[2];

	(void)state;
	items[0].keep_until_s = NOW_S - 1;
	items[1].keep_until_s = NOW_S + 1;
	assert_int_equal(retention_decide(&rules, items, 2, NOW_S, false, verdicts), 0);
	assert_int_equal(verdicts[0].reasons, 0);
	assert_true(verdicts[0].has_expired);
	assert_int_equal(verdicts[1].reasons, RETENTION_OWN);
}

static void a_clock_that_jumps_is_not_believed(void **state)
{
	struct retention_item items[] = { sealed_at(NOW_S - 2 * DAY_S), sealed_at(NOW_S - DAY_S),
					  sealed_at(NOW_S) };
	int64_t newest_s = 0;

	(void)state;
	assert_int_equal(retention_check_clock(items, 3, NOW_S + DAY_S, &newest_s), 0);
	assert_true(newest_s == NOW_S);
	assert_int_equal(retention_check_clock(items, 3, NOW_S + 4 * DAY_S, &newest_s), 0);
	assert_int_equal(retention_check_clock(items, 3, NOW_S + 5 * DAY_S, &newest_s), -ESTALE);
	assert_int_equal(retention_check_clock(items, 3, NOW_S - 200, &newest_s), 0);
	assert_int_equal(retention_check_clock(items, 3, NOW_S - 400, &newest_s), -EOVERFLOW);
	/* Whoever is not trusted cannot stop it. */
	items[2].is_trusted = false;
	assert_int_equal(retention_check_clock(items, 3, NOW_S - 400, &newest_s), 0);
	assert_int_equal(retention_check_clock(items, 0, NOW_S, &newest_s), 0);
}

static void weaker_rules_are_told(void **state)
{
	static const char *const tags[] = { "keep" };
	const struct retention before = {
		.keep_within_s = DAY_S,
		.keep = { [RETENTION_WEEKLY] = { .count = 4 } },
		.keep_tags = tags,
		.keep_tag_count = 1,
		.min_keep = 2,
		.requires_verified = true,
		.lock = RETENTION_LOCK_GOVERNANCE,
	};
	struct retention after = before;

	(void)state;
	assert_null(retention_weakened(&before, &after));
	after.keep_within_s = 2 * DAY_S;
	after.keep[RETENTION_YEARLY].count = 1;
	assert_null(retention_weakened(&before, &after));
	after.keep[RETENTION_WEEKLY].count = 3;
	assert_string_equal(retention_weakened(&before, &after), "keep_weekly");
	after = before;
	after.keep_tag_count = 0;
	assert_string_equal(retention_weakened(&before, &after), "keep_tag");
	after = before;
	after.requires_verified = false;
	assert_string_equal(retention_weakened(&before, &after), "require_verified");
	after = before;
	after.lock = RETENTION_LOCK_NONE;
	assert_string_equal(retention_weakened(&before, &after), "policy_lock");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retention_decides_as_a_simple_model_does),
		cmocka_unit_test(junk_never_displaces_what_counts),
		cmocka_unit_test(what_is_kept_stays_when_the_rest_is_gone),
		cmocka_unit_test(the_newest_of_a_day_is_kept),
		cmocka_unit_test(own_retention_counts_in_place_of_the_rules),
		cmocka_unit_test(a_clock_that_jumps_is_not_believed),
		cmocka_unit_test(weaker_rules_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
