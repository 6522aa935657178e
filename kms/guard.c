/* SPDX-License-Identifier: Apache-2.0 */
/* What keeps a key service from being overrun. */
#include "kms/guard.h"

#include <errno.h>
#include <time.h>

#include "kms/retry.h"

#define SLICE_MS       50
#define COST_TIMEOUT   10
#define COST_FAILURE   5
#define COST_THROTTLED 1
#define REFUND         2

static bool is_cancelled(const struct kms_call *call)
{
	return call->is_cancelled && atomic_load(call->is_cancelled);
}

/* A service that limits us, or refuses, works; one that does not answer does not. */
static bool is_outage(int code, const struct kms_error *error)
{
	return (code == -EHOSTUNREACH || code == -ETIMEDOUT) &&
	       (error->http_status == 0 || error->http_status >= 500);
}

/* With the lock held, which it gives up while it waits. */
static int wait_for_room(struct guard *guard, const struct kms_call *call, struct kms_error *reterr)
{
	while (guard->running >= GUARD_RUNNING_MAX) {
		int64_t now_ms = retry_now_ms();
		int64_t until_ms = now_ms + SLICE_MS;
		const struct timespec until = { .tv_sec = until_ms / 1000,
						.tv_nsec = until_ms % 1000 * 1000000 };

		if (is_cancelled(call))
			return kms_fail(reterr, -EINTR, KEY_STATE_UNKNOWN, "cancelled");
		if (now_ms >= call->deadline_ms)
			return kms_fail(reterr, -ETIMEDOUT, KEY_STATE_UNREACHABLE,
					"%d requests to this key service are waiting already",
					GUARD_RUNNING_MAX);
		(void)pthread_cond_clockwait(&guard->has_room, &guard->lock, CLOCK_MONOTONIC,
					     &until);
	}
	return 0;
}

/* Milliseconds until it may be asked again, 0: now.  With the lock held. */
static int64_t pause_left_ms(struct guard *guard)
{
	int64_t left_ms;

	if (guard->failures < GUARD_FAILURES_MAX)
		return 0;
	left_ms = guard->closed_until_ms - retry_now_ms();
	if (left_ms > 0)
		return left_ms;
	if (guard->is_trying)
		return SLICE_MS;
	guard->is_trying = true;
	return 0;
}

int guard_enter(struct guard *guard, const struct kms_call *call, struct kms_error *reterr)
{
	int64_t left_ms;
	int r;

	pthread_mutex_lock(&guard->lock);
	r = wait_for_room(guard, call, reterr);
	left_ms = r == 0 ? pause_left_ms(guard) : 0;
	if (left_ms > 0) {
		r = guard->last.code;
		*reterr = guard->last;
		reterr->is_retryable = true;
		reterr->retry_after_ms = (uint32_t)left_ms;
	}
	if (r == 0)
		guard->running++;
	pthread_mutex_unlock(&guard->lock);
	return r;
}

void guard_leave(struct guard *guard, int code, const struct kms_error *error)
{
	int64_t pause_ms = GUARD_PAUSE_MIN_MS;

	pthread_mutex_lock(&guard->lock);
	guard->running--;
	guard->is_trying = false;
	pthread_cond_signal(&guard->has_room);
	if (!is_outage(code, error)) {
		guard->failures = 0;
		if (code == 0)
			guard->spent -= guard->spent < REFUND ? guard->spent : REFUND;
	} else if (++guard->failures >= GUARD_FAILURES_MAX) {
		for (unsigned i = GUARD_FAILURES_MAX;
		     i < guard->failures && pause_ms < GUARD_PAUSE_MAX_MS; i++)
			pause_ms *= 2;
		guard->closed_until_ms = retry_now_ms() + pause_ms;
		guard->last = *error;
		guard->last.code = code;
	}
	pthread_mutex_unlock(&guard->lock);
}

static unsigned cost_of(const struct kms_error *error)
{
	if (error->code == -ETIMEDOUT)
		return COST_TIMEOUT;
	return error->http_status > 0 && error->http_status < 500 ? COST_THROTTLED : COST_FAILURE;
}

bool guard_may_retry(struct guard *guard, const struct kms_error *error)
{
	unsigned cost = cost_of(error);
	int64_t now_ms = retry_now_ms();
	int64_t regained;
	bool is_allowed;

	pthread_mutex_lock(&guard->lock);
	regained = (now_ms - guard->spent_at_ms) * GUARD_BUDGET_PER_S / 1000;
	if (regained > 0) {
		guard->spent -= regained > guard->spent ? guard->spent : (unsigned)regained;
		guard->spent_at_ms = now_ms;
	}
	is_allowed = guard->spent + cost <= GUARD_BUDGET;
	if (is_allowed)
		guard->spent += cost;
	pthread_mutex_unlock(&guard->lock);
	return is_allowed;
}
