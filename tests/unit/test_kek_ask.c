/* SPDX-License-Identifier: Apache-2.0 */
/* Asking KEKs of a provider that is made up here: after an outage, and when it is cancelled. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "kms/kms_internal.h"
#include "kms/retry.h"

static atomic_int asked;
static atomic_bool is_waiting;

static int answer(void *state, const struct kms_call *call, struct kms_key_info *ret_info,
		  struct kms_error *reterr)
{
	atomic_fetch_add(&asked, 1);
	*ret_info = (struct kms_key_info){ .state = KEY_STATE_ENABLED };
	return 0;
}

static int nobody_there(void *state, const struct kms_call *call,
			const struct wrap_context *context, const struct slot *slot,
			struct secret **ret_secret, struct kms_error *reterr)
{
	return kms_fail(reterr, -EHOSTUNREACH, KEY_STATE_UNREACHABLE, "nobody is there");
}

/* A host that swallows everything: the connection is open, and no answer comes. */
static int swallow(void *state, const struct kms_call *call, const struct wrap_context *context,
		   const struct slot *slot, struct secret **ret_secret, struct kms_error *reterr)
{
	atomic_store(&is_waiting, true);
	while (retry_now_ms() < call->deadline_ms) {
		if (atomic_load(call->is_cancelled))
			return kms_fail(reterr, -EINTR, KEY_STATE_UNKNOWN, "cancelled");
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return kms_fail(reterr, -ETIMEDOUT, KEY_STATE_UNREACHABLE, "no answer");
}

static bool owns(void *state, const struct slot *slot)
{
	return true;
}

static void close_nothing(void *state)
{
}

static const struct kms_provider absent = { .name = "absent",
					    .unwrap = nobody_there,
					    .describe = answer,
					    .owns = owns,
					    .close = close_nothing };
static const struct kms_provider silent = {
	.name = "silent", .unwrap = swallow, .owns = owns, .close = close_nothing
};

static struct kms *open_kms(uint32_t key_timeout_ms)
{
	const struct kms_options options = { .key_timeout_ms = key_timeout_ms };
	struct kms *kms = NULL;

	assert_int_equal(kms_open(&options, &kms, NULL), 0);
	return kms;
}

static struct kek *add_kek(struct kms *kms, const struct kms_provider *provider)
{
	struct kek *kek = calloc(1, sizeof(*kek));

	assert_non_null(kek);
	kek->provider = provider;
	kek->uri = provider->name;
	kek->next = kms->keks;
	kms->keks = kek;
	return kek;
}

/* Many who waited have used up the budget; the pause is not over, and the service is back. */
static void waiting_for_the_end_of_a_pause_costs_no_budget(void **state)
{
	struct kms *kms = open_kms(3000);
	struct kek *kek = add_kek(kms, &absent);
	struct kms_key_info info = { 0 };
	struct kms_error error = { 0 };

	kek->guard.failures = GUARD_FAILURES_MAX;
	kek->guard.closed_until_ms = retry_now_ms() + 300;
	kek->guard.spent = GUARD_BUDGET;
	kek->guard.spent_at_ms = retry_now_ms();
	(void)kms_fail(&kek->guard.last, -EHOSTUNREACH, KEY_STATE_UNREACHABLE, "nobody was there");
	assert_int_equal(
		kek_ask(kms, kek,
			&(struct kek_request){ .operation = KMS_DESCRIBE, .ret_info = &info },
			&error),
		0);
	assert_int_equal(info.state, KEY_STATE_ENABLED);
	assert_int_equal(atomic_load(&asked), 1);
	assert_true(kek->guard.spent <= GUARD_BUDGET);
	kms_close(kms);
}

struct opener {
	struct kms *kms;
	struct key_record record;
	struct kms_error error;
	int code;
};

static void *open_dek(void *arg)
{
	struct opener *opener = arg;
	struct dek *dek = NULL;

	opener->code = kms_unwrap_dek(opener->kms, &opener->record, &dek, NULL, &opener->error);
	return NULL;
}

static void cancelling_reaches_an_alternate_that_does_not_answer(void **state)
{
	struct slot slots[] = {
		{ .role = SLOT_PRIMARY, .provider = "absent", .key_id = "first" },
		{ .role = SLOT_ALTERNATE, .provider = "silent", .key_id = "second" },
	};
	struct opener opener = { .kms = open_kms(30000),
				 .record = { .slots = slots, .slot_count = ARRAY_SIZE(slots) } };
	const int64_t start_ms = retry_now_ms();
	pthread_t thread;

	add_kek(opener.kms, &absent);
	add_kek(opener.kms, &silent);
	assert_int_equal(pthread_create(&thread, NULL, open_dek, &opener), 0);
	while (!atomic_load(&is_waiting) && retry_now_ms() - start_ms < 10000)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	assert_true(atomic_load(&is_waiting));
	kms_cancel(opener.kms);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(opener.code < 0);
	assert_in_range(retry_now_ms() - start_ms, 0, 10000);
	/* For good: what is asked later is not even sent. */
	atomic_store(&is_waiting, false);
	(void)open_dek(&opener);
	assert_true(opener.code < 0);
	assert_in_range(retry_now_ms() - start_ms, 0, 15000);
	kms_close(opener.kms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waiting_for_the_end_of_a_pause_costs_no_budget),
		cmocka_unit_test(cancelling_reaches_an_alternate_that_does_not_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
