/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps a key service that is slow, limiting or down from being overrun: a bound on requests at one time, a budget for
 * retries, and pauses after failures in a row.  One for each KEK; knows no vendor.
 */
#ifndef SNAPCRYPT_KMS_GUARD_H
#define SNAPCRYPT_KMS_GUARD_H

#include <pthread.h>

#include "kms/error.h"
#include "kms/provider.h"
#include "meta/macros.h"

#define GUARD_RUNNING_MAX  8
#define GUARD_FAILURES_MAX 5 /* in a row, before it pauses */
#define GUARD_PAUSE_MIN_MS 250
#define GUARD_PAUSE_MAX_MS 2000
#define GUARD_BUDGET       500
#define GUARD_BUDGET_PER_S 10 /* comes back with time */

/* Zero is a guard that has seen nothing yet.  Thread-safe. */
struct guard {
	pthread_mutex_t lock;
	pthread_cond_t has_room;
	unsigned running;
	unsigned failures; /* in a row */
	bool is_trying;    /* the one request that finds out whether the pause is over */
	int64_t closed_until_ms;
	unsigned spent; /* of the budget */
	int64_t spent_at_ms;
	struct kms_error last; /* the failure that made it pause */
};

/*
 * Before an attempt: wait for room.  0: ask, then guard_leave().
 * -ETIMEDOUT, -EINTR; or what failed last, retryable after the pause.
 */
MUST_CHECK int guard_enter(struct guard *guard, const struct kms_call *call,
			   struct kms_error *reterr);

/* After it.  CODE 0 or the failure, with its ERROR. */
void guard_leave(struct guard *guard, int code, const struct kms_error *error);

/* Is there budget for another attempt after ERROR?  Takes from it. */
bool guard_may_retry(struct guard *guard, const struct kms_error *error);

#endif
