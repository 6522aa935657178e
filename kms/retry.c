/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that waits and tries again. */
#include "kms/retry.h"

#include <errno.h>
#include <time.h>

#include "kms/crypto/random.h"

#define WAIT_BASE_MS 100
#define WAIT_MAX_MS  1000
#define SLICE_MS     50
#define ATTEMPT_MS   500

int64_t retry_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void retry_begin(struct retry *retry, uint32_t timeout_ms, const atomic_bool *is_cancelled)
{
	const int64_t deadline_ms = retry_now_ms() + timeout_ms;
	const int64_t attempt_ms = timeout_ms / 4 < ATTEMPT_MS ? timeout_ms / 4 : ATTEMPT_MS;

	*retry = (struct retry){
		.call = { .deadline_ms = deadline_ms, .is_cancelled = is_cancelled },
		.last_start_ms = deadline_ms - attempt_ms,
	};
}

static bool is_cancelled(const struct retry *retry)
{
	return retry->call.is_cancelled && atomic_load(retry->call.is_cancelled);
}

static int64_t wait_ms(const struct retry *retry, const struct kms_error *error)
{
	int64_t ceiling = retry->attempt < 10 ? (int64_t)WAIT_BASE_MS << retry->attempt
					      : WAIT_MAX_MS;
	uint32_t drawn = 0;

	if (ceiling > WAIT_MAX_MS)
		ceiling = WAIT_MAX_MS;
	if (random_fill(&drawn, sizeof(drawn)) < 0)
		drawn = UINT32_MAX;
	ceiling = ceiling * drawn / UINT32_MAX;
	return ceiling > error->retry_after_ms ? ceiling : error->retry_after_ms;
}

bool retry_again(struct retry *retry, const struct kms_error *error)
{
	int64_t wake_ms;

	if (!error->is_retryable || ++retry->attempt >= RETRY_ATTEMPTS_MAX ||
	    (error->code == -EPROTO && retry->attempt > 1))
		return false;
	wake_ms = retry_now_ms() + wait_ms(retry, error);
	if (wake_ms > retry->last_start_ms)
		return false;
	while (retry_now_ms() < wake_ms) {
		if (is_cancelled(retry))
			return false;
		nanosleep(&(struct timespec){ .tv_nsec = SLICE_MS * 1000000L }, NULL);
	}
	return !is_cancelled(retry);
}
