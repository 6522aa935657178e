/* SPDX-License-Identifier: Apache-2.0 */
/* guard: pauses after failures in a row, the budget of retries, and the bound on requests at one time. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "kms/guard.h"
#include "kms/retry.h"

static struct kms_call within(int64_t timeout_ms)
{
	return (struct kms_call){ .deadline_ms = retry_now_ms() + timeout_ms };
}

static void fail_once(struct guard *guard, int http_status)
{
	const struct kms_call call = within(1000);
	struct kms_error error = { 0 };

	assert_int_equal(guard_enter(guard, &call, &error), 0);
	(void)kms_fail(&error, -EHOSTUNREACH, KEY_STATE_UNREACHABLE, "nobody listens");
	error.http_status = http_status;
	guard_leave(guard, -EHOSTUNREACH, &error);
}

static void guard_pauses_after_failures_in_a_row(void **state)
{
	struct guard guard = { 0 };
	const struct kms_call call = within(5000);
	struct kms_error error = { 0 };

	for (int i = 0; i < GUARD_FAILURES_MAX; i++)
		fail_once(&guard, 0);
	assert_int_equal(guard_enter(&guard, &call, &error), -EHOSTUNREACH);
	assert_true(error.is_retryable);
	assert_in_range(error.retry_after_ms, 1, GUARD_PAUSE_MIN_MS);
	assert_string_equal(error.text, "nobody listens");
}

static void guard_lets_one_request_try_after_the_pause(void **state)
{
	struct guard guard = { 0 };
	const struct kms_call call = within(5000);
	struct kms_error error = { 0 };

	for (int i = 0; i < GUARD_FAILURES_MAX; i++)
		fail_once(&guard, 503);
	nanosleep(&(struct timespec){ .tv_nsec = (GUARD_PAUSE_MIN_MS + 20) * 1000000L }, NULL);
	assert_int_equal(guard_enter(&guard, &call, &error), 0);
	assert_int_equal(guard_enter(&guard, &call, &error), -EHOSTUNREACH);
	error = (struct kms_error){ 0 };
	guard_leave(&guard, 0, &error);
	assert_int_equal(guard_enter(&guard, &call, &error), 0);
	assert_int_equal(guard_enter(&guard, &call, &error), 0);
}

static void guard_does_not_pause_for_limits_and_refusals(void **state)
{
	struct guard guard = { 0 };
	const struct kms_call call = within(1000);
	struct kms_error error = { 0 };

	for (int i = 0; i < 3 * GUARD_FAILURES_MAX; i++)
		fail_once(&guard, 400);
	assert_int_equal(guard_enter(&guard, &call, &error), 0);
}

static void guard_budget_ends_and_comes_back(void **state)
{
	struct guard guard = { 0 };
	struct kms_error error = { .code = -EHOSTUNREACH };
	int count = 0;

	while (guard_may_retry(&guard, &error) && count < 10 * GUARD_BUDGET)
		count++;
	assert_in_range(count, GUARD_BUDGET / 5, GUARD_BUDGET / 5 + 10);
	nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
	assert_true(guard_may_retry(&guard, &error));
}

static void guard_bounds_requests_at_one_time(void **state)
{
	struct guard guard = { 0 };
	const struct kms_call call = within(5000);
	const struct kms_call soon = within(120);
	atomic_bool is_cancelled = true;
	const struct kms_call cancelled = { .deadline_ms = call.deadline_ms,
					    .is_cancelled = &is_cancelled };
	struct kms_error error = { 0 };

	for (int i = 0; i < GUARD_RUNNING_MAX; i++)
		assert_int_equal(guard_enter(&guard, &call, &error), 0);
	assert_int_equal(guard_enter(&guard, &soon, &error), -ETIMEDOUT);
	assert_int_equal(guard_enter(&guard, &cancelled, &error), -EINTR);
	error = (struct kms_error){ 0 };
	guard_leave(&guard, 0, &error);
	assert_int_equal(guard_enter(&guard, &call, &error), 0);
}

/* Else the one request that may try would be cut off, count as a failure, and begin the next pause: for ever. */
static void a_pause_that_leaves_no_time_for_an_attempt_is_not_waited_for(void **state)
{
	struct kms_error error = { .code = -EHOSTUNREACH, .is_retryable = true };
	struct retry retry;

	error.retry_after_ms = 990;
	retry_begin(&retry, 1000, NULL);
	assert_false(retry_again(&retry, &error));
	assert_true(retry_now_ms() < retry.call.deadline_ms - 500);
	error.retry_after_ms = 300;
	retry_begin(&retry, 1000, NULL);
	assert_true(retry_again(&retry, &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guard_pauses_after_failures_in_a_row),
		cmocka_unit_test(guard_lets_one_request_try_after_the_pause),
		cmocka_unit_test(guard_does_not_pause_for_limits_and_refusals),
		cmocka_unit_test(guard_budget_ends_and_comes_back),
		cmocka_unit_test(guard_bounds_requests_at_one_time),
		cmocka_unit_test(a_pause_that_leaves_no_time_for_an_attempt_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
