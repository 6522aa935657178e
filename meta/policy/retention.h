/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which snapshots retention keeps: pure decisions, no I/O.
 *
 * The rules are applied to each group on its own.  Only snapshots that count fill them: sealed, by a trusted writer, and, with
 * requires_verified, verified; so whatever else is put into a volume never takes the place of one that counts.  Sealed ones that
 * are not verified yet are judged a second time as if they were, and kept if the rules keep them then.  Nothing is deleted that
 * is of an unknown writer.
 *
 * Hours, days, weeks (from Monday), months and years are those of UTC.  The newest of a period is the one that is kept for it,
 * and only periods that have snapshots are counted.
 */
#ifndef SNAPCRYPT_META_POLICY_RETENTION_H
#define SNAPCRYPT_META_POLICY_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/macros.h"

#define RETENTION_SKEW_S 300 /* clocks of writers may be ahead by so much */

enum retention_period {
	RETENTION_HOURLY,
	RETENTION_DAILY,
	RETENTION_WEEKLY,
	RETENTION_MONTHLY,
	RETENTION_YEARLY,
};
#define RETENTION_PERIODS 5

enum retention_lock { RETENTION_LOCK_NONE, RETENTION_LOCK_GOVERNANCE, RETENTION_LOCK_COMPLIANCE };

/* Keep one for each of COUNT periods, or for each period of the last DURATION_S; neither: no rule. */
struct retention_keep {
	uint64_t count;
	int64_t duration_s;
};

/*
 *   keep_within_s   everything younger; 0: no rule
 *   keep_last       the newest; 0: no rule
 *   keep_tags       what has one of these tags; borrowed
 *   lock_min_s      nothing younger is deleted, by whatever command
 */
struct retention {
	int64_t keep_within_s;
	uint64_t keep_last;
	struct retention_keep keep[RETENTION_PERIODS];
	const char *const *keep_tags;
	size_t keep_tag_count;
	uint64_t min_keep;
	bool requires_verified;
	enum retention_lock lock;
	int64_t lock_min_s;
};

/*
 *   time_s         when it was sealed; when it was created, if it is open
 *   group          rules apply for each; borrowed
 *   keep_until_s   its own retention in place of the rules; 0: it has none
 */
struct retention_item {
	int64_t time_s;
	const char *group;
	const char *const *tags;
	size_t tag_count;
	int64_t keep_until_s;
	bool is_sealed;
	bool is_trusted;
	bool is_verified;
	bool is_held;
};

/* Why one is kept. */
enum retention_reason {
	RETENTION_WITHIN = 1 << 0,
	RETENTION_LAST = 1 << 1,
	RETENTION_FIRST_PERIOD = 1 << 2, /* hourly; the others follow */
	RETENTION_TAG = 1 << 7,
	RETENTION_HELD = 1 << 8,
	RETENTION_OWN = 1 << 9, /* its own retention has not ended */
	RETENTION_LOCKED = 1 << 10,
	RETENTION_MIN_KEEP = 1 << 11,
	RETENTION_OPEN = 1 << 12,
	RETENTION_ORIGIN = 1 << 13, /* of an unknown writer */
};
#define RETENTION_REASONS 14

/* reasons 0: to be deleted.  has_expired: because its own retention has ended, not because no rule keeps it. */
struct retention_verdict {
	unsigned reasons;
	bool has_expired;
};

/* Does anything limit what is kept?  Without a rule nothing may be pruned. */
bool retention_has_rules(const struct retention *retention);

/* Judge COUNT items at the time NOW_S.  INCLUDES_OPEN: open ones are judged by the rules, too, though they never count. */
MUST_CHECK int retention_decide(const struct retention *retention,
				const struct retention_item *items, size_t count, int64_t now_s,
				bool includes_open, struct retention_verdict *verdicts);

/*
 * May the clock be believed?  0; -EOVERFLOW: a snapshot of a trusted writer is of the future; -ESTALE: none is as young as the
 * gaps between them would have it, so the clock has jumped or no backup was made for long.  RET_NEWEST_S: the newest.
 */
MUST_CHECK int retention_check_clock(const struct retention_item *items, size_t count,
				     int64_t now_s, int64_t *ret_newest_s);

/* Does AFTER let anything be deleted that BEFORE would have kept?  The name of the first such setting, or NULL. */
const char *retention_weakened(const struct retention *before, const struct retention *after);

/* "within", "daily", ...: the word of one reason. */
const char *retention_reason_name(enum retention_reason reason);
const char *retention_period_name(enum retention_period period);
const char *retention_lock_name(enum retention_lock lock);

/* The number of the period that TIME_S is in. */
int64_t retention_period_of(enum retention_period period, int64_t time_s);

#endif
