/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that waits and tries again: full jitter, within a deadline. */
#ifndef SNAPCRYPT_KMS_RETRY_H
#define SNAPCRYPT_KMS_RETRY_H

#include <stdbool.h>

#include "kms/provider.h"

#define RETRY_ATTEMPTS_MAX 40 /* the deadline comes first, but for replies at once */

/* One operation with its attempts.  Owned by one thread. */
struct retry {
	struct kms_call call;
	int64_t last_start_ms; /* an attempt begun later would be cut off, which says nothing about the service */
	unsigned attempt;
};

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t retry_now_ms(void);

void retry_begin(struct retry *retry, uint32_t timeout_ms, const atomic_bool *is_cancelled);

/*
 * After a failed attempt: wait and say true, or say false when ERROR is final, attempts or time are used up, or the call was
 * cancelled.  The wait is random between 0 and 2^attempt * 100 ms, at most 1 s, and at least what the service asked for; a short
 * ceiling, because whoever waits for a key has seconds, not minutes.  An attempt gets a quarter of the time, at most 500 ms, or
 * is not made: cut off at once it would hide why the one before failed, and count as an outage.  What is not HTTP or not the service's is tried twice.
 */
bool retry_again(struct retry *retry, const struct kms_error *error);

#endif
