/* SPDX-License-Identifier: Apache-2.0 */
/* Who this host is to AWS, cached. */
#include "kms/credentials/aws_identity.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kms/config_copy.h"
#include "kms/credentials/aws_chain.h"

/* Refreshed this long before they expire; until then a failure to do so is tolerated ... */
#define REFRESH_AHEAD_S 900
/* ... and tried again only after this. */
#define REFRESH_PAUSE_S 60
/* Keys that say nothing about their end: their source is read again after this. */
#define UNLIMITED_AGE_S 300
#define EXPIRY_MARGIN_S 5

struct aws_identity {
	struct kms_config *config; /* own copy */
	char *profile;
	struct http *http;
	atomic_llong *offset_s;
	struct aws_endpoint sts_endpoint;
	pthread_mutex_t refresh_lock; /* one refresh at a time; taken before lock */
	pthread_mutex_t lock;         /* guards what follows */
	struct aws_keys *keys;
	int64_t fetched_s; /* CLOCK_MONOTONIC, last attempt */
};

static int64_t monotonic_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec;
}

void aws_identity_close(struct aws_identity *identity)
{
	if (!identity)
		return;
	http_close(identity->http);
	aws_keys_put(identity->keys);
	kms_config_free(identity->config);
	free(identity->profile);
	pthread_mutex_destroy(&identity->lock);
	pthread_mutex_destroy(&identity->refresh_lock);
	free(identity);
}

static const char *sts_url(const struct kms_config *config)
{
	const char *const candidates[] = { kms_config_get(config, "sts_endpoint"),
					   getenv("AWS_ENDPOINT_URL_STS"),
					   getenv("AWS_ENDPOINT_URL") };

	for (size_t i = 0; i < ARRAY_SIZE(candidates); i++)
		if (candidates[i] && *candidates[i])
			return candidates[i];
	return NULL;
}

static int open_members(struct aws_identity *identity, const struct aws_identity_options *options,
			struct kms_error *reterr)
{
	const char *bundle = getenv("AWS_CA_BUNDLE");
	const char *url = sts_url(options->config);
	struct http_options http;
	int r;

	r = kms_config_copy(options->config, &identity->config);
	if (r == 0 && options->profile) {
		identity->profile = strdup(options->profile);
		r = identity->profile ? 0 : -ENOMEM;
	}
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of memory");
	/* Names and certificates of the section are those of the key service itself. */
	http_options_from_config(options->config, &http);
	http.tls_server_name = http.client_certificate = http.client_key = NULL;
	if (!http.ca_file && bundle && *bundle)
		http.ca_file = bundle;
	r = http_open(&http, &identity->http, reterr);
	if (r < 0)
		return r;
	memcpy(identity->sts_endpoint.service, "sts", sizeof("sts"));
	memcpy(identity->sts_endpoint.region, options->region, strlen(options->region) + 1);
	return aws_endpoint_set(&identity->sts_endpoint, url, !url && options->is_fips, reterr);
}

int aws_identity_open(const struct aws_identity_options *options,
		      struct aws_identity **ret_identity, struct kms_error *reterr)
{
	struct aws_identity *identity;
	int r;

	if (!aws_region_is_valid(options->region))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "'%.64s' is not an AWS region",
				options->region);
	r = aws_chain_check(options->config, reterr);
	if (r < 0)
		return r;
	identity = calloc(1, sizeof(*identity));
	if (!identity)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	pthread_mutex_init(&identity->lock, NULL);
	pthread_mutex_init(&identity->refresh_lock, NULL);
	identity->offset_s = options->offset_s;
	r = open_members(identity, options, reterr);
	if (r < 0) {
		aws_identity_close(identity);
		return r;
	}
	*ret_identity = identity;
	return 0;
}

/* The chain, and the role of the section on top. */
static int fetch(struct aws_identity *identity, const struct kms_call *call,
		 struct aws_keys **ret_keys, struct kms_error *reterr)
{
	const struct kms_config *config = identity->config;
	const struct aws_chain chain = {
		.config = config,
		.profile = identity->profile,
		.sts = { identity->http, identity->sts_endpoint, identity->offset_s },
	};
	const struct aws_role role = { .role_arn = kms_config_get(config, "role_arn"),
				       .external_id = kms_config_get(config, "external_id"),
				       .session_name = kms_config_get(config,
								      "role_session_name") };
	CLEANUP(aws_keys_cleanup) struct aws_keys *base = NULL;
	int r;

	r = aws_chain_keys(&chain, call, &base, reterr);
	if (r < 0)
		return r;
	if (role.role_arn)
		return aws_sts_assume_role(&chain.sts, call, &role, base, ret_keys, reterr);
	*ret_keys = TAKE(base);
	return 0;
}

static int64_t service_now_s(const struct aws_identity *identity)
{
	return (int64_t)time(NULL) + atomic_load(identity->offset_s);
}

static bool is_expired(const struct aws_identity *identity, const struct aws_keys *keys)
{
	return keys->expires_s && keys->expires_s - EXPIRY_MARGIN_S <= service_now_s(identity);
}

/* With the lock held: are the cached keys good enough not to ask? */
static bool is_fresh(const struct aws_identity *identity, const struct aws_keys *rejected)
{
	const struct aws_keys *keys = identity->keys;
	int64_t age_s = monotonic_s() - identity->fetched_s;

	if (!keys || keys == rejected || is_expired(identity, keys))
		return false;
	if (!keys->expires_s)
		return age_s < UNLIMITED_AGE_S;
	return keys->expires_s - REFRESH_AHEAD_S > service_now_s(identity) ||
	       age_s < REFRESH_PAUSE_S;
}

/* Another reference to the cached keys if they are fresh (or, where !MUST_BE_FRESH, not expired). */
static struct aws_keys *cached(struct aws_identity *identity, const struct aws_keys *rejected,
			       bool must_be_fresh)
{
	struct aws_keys *keys = NULL;

	pthread_mutex_lock(&identity->lock);
	if (must_be_fresh ? is_fresh(identity, rejected)
			  : identity->keys && identity->keys != rejected &&
				    !is_expired(identity, identity->keys))
		keys = aws_keys_get(identity->keys);
	pthread_mutex_unlock(&identity->lock);
	return keys;
}

/* Note the attempt, and what it brought. */
static void remember(struct aws_identity *identity, struct aws_keys *keys)
{
	struct aws_keys *old = NULL;

	pthread_mutex_lock(&identity->lock);
	identity->fetched_s = monotonic_s();
	if (keys) {
		old = identity->keys;
		identity->keys = aws_keys_get(keys);
	}
	pthread_mutex_unlock(&identity->lock);
	aws_keys_put(old);
}

static int refresh(struct aws_identity *identity, const struct kms_call *call,
		   const struct aws_keys *rejected, struct aws_keys **ret_keys,
		   struct kms_error *reterr)
{
	struct aws_keys *keys = cached(identity, rejected, true);
	int r;

	/* Somebody else has refreshed them meanwhile. */
	if (keys) {
		*ret_keys = keys;
		return 0;
	}
	r = fetch(identity, call, &keys, reterr);
	if (r == 0 && is_expired(identity, keys))
		r = kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
			     "the AWS credentials of %s have expired", keys->principal);
	if (r < 0)
		aws_keys_put(TAKE(keys));
	remember(identity, keys);
	if (r < 0)
		keys = cached(identity, rejected, false);
	if (!keys)
		return r;
	*ret_keys = keys;
	return 0;
}

int aws_identity_keys(struct aws_identity *identity, const struct kms_call *call,
		      const struct aws_keys *rejected, struct aws_keys **ret_keys,
		      struct kms_error *reterr)
{
	const struct timespec deadline = { .tv_sec = call->deadline_ms / 1000,
					   .tv_nsec = call->deadline_ms % 1000 * 1000000 };
	struct aws_keys *keys = cached(identity, rejected, true);
	int r;

	if (keys) {
		*ret_keys = keys;
		return 0;
	}
	if (pthread_mutex_clocklock(&identity->refresh_lock, CLOCK_MONOTONIC, &deadline) != 0)
		return kms_fail(reterr, -ETIMEDOUT, KEY_STATE_UNREACHABLE,
				"AWS credentials: no answer before the deadline");
	r = refresh(identity, call, rejected, ret_keys, reterr);
	pthread_mutex_unlock(&identity->refresh_lock);
	return r;
}
