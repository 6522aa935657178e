/* SPDX-License-Identifier: Apache-2.0 */
/* A bearer token that is renewed ahead of its end. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "kms/credentials/token.h"
#include "kms/retry.h"

struct source {
	atomic_int fetches;
	atomic_int failing; /* errno of the next fetches; 0: none */
	int64_t lifetime_s;
	int64_t renew_after_s;
	int delay_ms;
};

static int set_up(void **state)
{
	assert_int_equal(secret_init(), 0);
	return 0;
}

static void sleep_ms(int64_t ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

static int fetch(void *arg, const struct kms_call *call, struct token *ret_token,
		 struct kms_error *reterr)
{
	struct source *source = arg;
	int number = ++source->fetches;
	char text[16];

	sleep_ms(source->delay_ms);
	if (source->failing)
		return kms_fail(reterr, source->failing, KEY_STATE_UNREACHABLE, "no login");
	(void)snprintf(text, sizeof(text), "token-%d", number);
	assert_int_equal(secret_copy(bytes_from_text(text), &ret_token->secret), 0);
	ret_token->lifetime_s = source->lifetime_s;
	ret_token->renew_after_s = source->renew_after_s;
	return 0;
}

static struct kms_call call_for(int64_t timeout_ms)
{
	return (struct kms_call){ .deadline_ms = retry_now_ms() + timeout_ms };
}

static void expect_token(struct token_cache *cache, const char *expected)
{
	CLEANUP(secret_cleanup) struct secret *token = NULL;
	const struct kms_call call = call_for(5000);

	assert_int_equal(token_cache_get(cache, &call, &token, NULL), 0);
	assert_int_equal(secret_bytes(token).size, strlen(expected));
	assert_memory_equal(secret_bytes(token).data, expected, strlen(expected));
}

static void a_token_is_fetched_once_while_it_is_good(void **state)
{
	struct source source = { .lifetime_s = 3600 };
	struct token_cache *cache = NULL;

	assert_int_equal(token_cache_open(fetch, &source, &cache), 0);
	for (int i = 0; i < 5; i++)
		expect_token(cache, "token-1");
	assert_int_equal(source.fetches, 1);
	token_cache_close(cache);
}

static void a_token_is_renewed_before_its_end(void **state)
{
	struct source source = { .lifetime_s = 60, .renew_after_s = 1 };
	struct token_cache *cache = NULL;

	assert_int_equal(token_cache_open(fetch, &source, &cache), 0);
	expect_token(cache, "token-1");
	sleep_ms(1050);
	expect_token(cache, "token-2");
	token_cache_close(cache);
}

static void a_failing_renewal_leaves_a_good_token_in_use(void **state)
{
	struct source source = { .lifetime_s = 60, .renew_after_s = 1 };
	struct token_cache *cache = NULL;

	assert_int_equal(token_cache_open(fetch, &source, &cache), 0);
	expect_token(cache, "token-1");
	source.failing = -EHOSTUNREACH;
	sleep_ms(1050);
	expect_token(cache, "token-1");
	expect_token(cache, "token-1");
	/* Not at every use: the next try is half a minute later. */
	assert_int_equal(source.fetches, 2);
	token_cache_close(cache);
}

static void a_token_that_has_ended_is_not_given_out(void **state)
{
	struct source source = { .lifetime_s = 1 };
	const struct kms_call call = call_for(5000);
	struct token_cache *cache = NULL;
	struct secret *token = NULL;
	struct kms_error error = { 0 };

	assert_int_equal(token_cache_open(fetch, &source, &cache), 0);
	expect_token(cache, "token-1");
	source.failing = -EKEYEXPIRED;
	sleep_ms(1050);
	assert_int_equal(token_cache_get(cache, &call, &token, &error), -EKEYEXPIRED);
	assert_int_equal(error.code, -EKEYEXPIRED);
	assert_null(token);
	source.failing = 0;
	expect_token(cache, "token-3");
	token_cache_close(cache);
}

static void a_rejected_token_is_replaced_unless_it_was_already(void **state)
{
	struct source source = { .lifetime_s = 3600 };
	struct token_cache *cache = NULL;
	CLEANUP(secret_cleanup) struct secret *first = NULL;
	const struct kms_call call = call_for(5000);

	assert_int_equal(token_cache_open(fetch, &source, &cache), 0);
	assert_int_equal(token_cache_get(cache, &call, &first, NULL), 0);
	token_cache_reject(cache, first);
	expect_token(cache, "token-2");
	token_cache_reject(cache, first);
	expect_token(cache, "token-2");
	token_cache_close(cache);
}

static void *get_one(void *arg)
{
	const struct kms_call call = call_for(5000);
	struct secret *token = NULL;

	assert_int_equal(token_cache_get(arg, &call, &token, NULL), 0);
	secret_drop(token);
	return NULL;
}

static void many_threads_log_in_once(void **state)
{
	struct source source = { .lifetime_s = 3600, .delay_ms = 200 };
	struct token_cache *cache = NULL;
	pthread_t threads[16];

	assert_int_equal(token_cache_open(fetch, &source, &cache), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, get_one, cache), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(source.fetches, 1);
	token_cache_close(cache);
}

static void waiting_for_another_threads_login_ends_at_the_deadline(void **state)
{
	struct source source = { .lifetime_s = 3600, .delay_ms = 1500 };
	const struct kms_call call = call_for(300);
	struct token_cache *cache = NULL;
	struct secret *token = NULL;
	pthread_t thread;

	assert_int_equal(token_cache_open(fetch, &source, &cache), 0);
	assert_int_equal(pthread_create(&thread, NULL, get_one, cache), 0);
	while (!source.fetches)
		sleep_ms(1);
	assert_int_equal(token_cache_get(cache, &call, &token, NULL), -ETIMEDOUT);
	assert_int_equal(pthread_join(thread, NULL), 0);
	token_cache_close(cache);
}

static void a_token_that_would_break_a_header_is_refused(void **state)
{
	static const char *const bad[] = { "a\r\nX: y", "a b", "a\x01", "a\x80" };
	CLEANUP(secret_cleanup) struct secret *good = NULL;
	CLEANUP(secret_cleanup) struct secret *header = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CLEANUP(secret_cleanup) struct secret *token = NULL;
		struct secret *none = NULL;

		assert_int_equal(secret_copy(bytes_from_text(bad[i]), &token), 0);
		assert_int_equal(token_bearer(token, &none), -EBADMSG);
		assert_null(none);
	}
	assert_int_equal(secret_copy(bytes_from_text("abc.def"), &good), 0);
	assert_int_equal(token_bearer(good, &header), 0);
	assert_string_equal((const char *)secret_bytes(header).data, "Bearer abc.def");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_is_fetched_once_while_it_is_good),
		cmocka_unit_test(a_token_is_renewed_before_its_end),
		cmocka_unit_test(a_failing_renewal_leaves_a_good_token_in_use),
		cmocka_unit_test(a_token_that_has_ended_is_not_given_out),
		cmocka_unit_test(a_rejected_token_is_replaced_unless_it_was_already),
		cmocka_unit_test(many_threads_log_in_once),
		cmocka_unit_test(waiting_for_another_threads_login_ends_at_the_deadline),
		cmocka_unit_test(a_token_that_would_break_a_header_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
