/* SPDX-License-Identifier: Apache-2.0 */
/* A bearer token that is renewed ahead of its end. */
#include "kms/credentials/token.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kms/retry.h"

#define SECOND_MS      1000
#define RETRY_AFTER_MS (30 * SECOND_MS)
#define LONG_LIFE_S    7200
#define MARGIN_S       300
#define LIFE_MAX_S     (INT64_C(10) * 366 * 86400)
#define WAIT_SLICE_MS  100

struct token_cache {
	token_fetch *fetch;
	void *arg;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_fetching;
	struct secret *token;
	int64_t renew_ms; /* CLOCK_MONOTONIC, as are all */
	int64_t end_ms;
};

int token_cache_open(token_fetch *fetch, void *arg, struct token_cache **ret_cache)
{
	struct token_cache *cache = calloc(1, sizeof(*cache));
	pthread_condattr_t attributes;

	if (!cache)
		return -ENOMEM;
	cache->fetch = fetch;
	cache->arg = arg;
	pthread_mutex_init(&cache->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&cache->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	*ret_cache = cache;
	return 0;
}

void token_cache_close(struct token_cache *cache)
{
	if (!cache)
		return;
	secret_drop(cache->token);
	pthread_cond_destroy(&cache->changed);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

static void forget(struct token_cache *cache)
{
	secret_drop(cache->token);
	cache->token = NULL;
}

static int64_t default_renewal_s(int64_t lifetime_s)
{
	if (lifetime_s >= LONG_LIFE_S)
		return lifetime_s / 2;
	return lifetime_s > 2 * MARGIN_S ? lifetime_s - MARGIN_S : lifetime_s * 2 / 3;
}

static void adopt(struct token_cache *cache, struct token *token, int64_t now_ms)
{
	int64_t lifetime_s = token->lifetime_s;
	int64_t renewal_s = token->renew_after_s;

	if (lifetime_s <= 0 || lifetime_s > LIFE_MAX_S)
		lifetime_s = LIFE_MAX_S;
	if (renewal_s <= 0 || renewal_s > lifetime_s)
		renewal_s = default_renewal_s(lifetime_s);
	forget(cache);
	cache->token = TAKE(token->secret);
	cache->renew_ms = now_ms + renewal_s * SECOND_MS;
	cache->end_ms = now_ms + lifetime_s * SECOND_MS;
}

/* Log in without holding the lock.  Called and left with it held. */
static int fetch(struct token_cache *cache, const struct kms_call *call, struct kms_error *reterr)
{
	struct token token = { 0 };
	struct kms_error error = { 0 };
	int64_t now_ms = retry_now_ms();
	int r;

	cache->is_fetching = true;
	pthread_mutex_unlock(&cache->lock);
	r = cache->fetch(cache->arg, call, &token, &error);
	pthread_mutex_lock(&cache->lock);
	cache->is_fetching = false;
	if (r == 0)
		adopt(cache, &token, now_ms);
	else if (cache->token)
		cache->renew_ms = retry_now_ms() + RETRY_AFTER_MS;
	pthread_cond_broadcast(&cache->changed);
	if (r < 0 && reterr)
		*reterr = error;
	return r;
}

static int wait_for_other(struct token_cache *cache, const struct kms_call *call,
			  struct kms_error *reterr)
{
	int64_t now_ms = retry_now_ms();
	int64_t wake_ms = now_ms + WAIT_SLICE_MS;

	if (call->is_cancelled && atomic_load(call->is_cancelled))
		return kms_fail(reterr, -EINTR, KEY_STATE_UNKNOWN, "cancelled");
	if (now_ms >= call->deadline_ms)
		return kms_fail(reterr, -ETIMEDOUT, KEY_STATE_UNREACHABLE,
				"logging in took longer than allowed");
	if (wake_ms > call->deadline_ms)
		wake_ms = call->deadline_ms;
	pthread_cond_timedwait(&cache->changed, &cache->lock,
			       &(struct timespec){ .tv_sec = wake_ms / SECOND_MS,
						   .tv_nsec = wake_ms % SECOND_MS * 1000000 });
	return 0;
}

/* Called with the lock held. */
static int ensure(struct token_cache *cache, const struct kms_call *call, struct kms_error *reterr)
{
	for (;;) {
		int64_t now_ms = retry_now_ms();
		bool is_valid = cache->token && now_ms < cache->end_ms;
		int r;

		if (is_valid && (now_ms < cache->renew_ms || cache->is_fetching))
			return 0;
		if (cache->is_fetching) {
			r = wait_for_other(cache, call, reterr);
			if (r < 0)
				return r;
			continue;
		}
		r = fetch(cache, call, reterr);
		if (r == 0 || (cache->token && retry_now_ms() < cache->end_ms))
			return 0;
		return r;
	}
}

int token_cache_get(struct token_cache *cache, const struct kms_call *call,
		    struct secret **ret_token, struct kms_error *reterr)
{
	int r;

	pthread_mutex_lock(&cache->lock);
	r = ensure(cache, call, reterr);
	if (r == 0) {
		r = secret_copy(secret_bytes(cache->token), ret_token);
		if (r < 0)
			(void)kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of secret memory");
	}
	pthread_mutex_unlock(&cache->lock);
	return r;
}

void token_cache_reject(struct token_cache *cache, const struct secret *token)
{
	struct bytes refused = secret_bytes(token);

	pthread_mutex_lock(&cache->lock);
	if (cache->token && secret_bytes(cache->token).size == refused.size &&
	    secret_equal(secret_bytes(cache->token).data, refused.data, refused.size))
		forget(cache);
	pthread_mutex_unlock(&cache->lock);
}

int token_bearer(const struct secret *token, struct secret **ret_header)
{
	static const char prefix[] = "Bearer ";
	const size_t prefix_size = sizeof(prefix) - 1;
	struct bytes text = secret_bytes(token);
	int r;

	for (size_t i = 0; i < text.size; i++)
		if (text.data[i] <= 0x20 || text.data[i] >= 0x7f)
			return -EBADMSG;
	r = secret_new(prefix_size + text.size + 1, ret_header);
	if (r < 0)
		return r;
	memcpy(secret_data(*ret_header), prefix, prefix_size);
	memcpy(secret_data(*ret_header) + prefix_size, text.data, text.size);
	return 0;
}
