/* SPDX-License-Identifier: Apache-2.0 */
/* One signed request to a service of AWS. */
#include "kms/credentials/aws_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kms/crypto/sigv4.h"

/* AWS tolerates five minutes. */
#define SKEW_MAX_S 240

/* Domain of a partition by the beginning of its regions; the last one is everything else. */
static const struct {
	const char *prefix;
	const char *domain;
} partitions[] = {
	{ "cn-", "amazonaws.com.cn" },   { "eusc-", "amazonaws.eu" },
	{ "us-isob-", "sc2s.sgov.gov" }, { "us-isof-", "csp.hci.ic.gov" },
	{ "us-iso-", "c2s.ic.gov" },     { "eu-isoe-", "cloud.adc-e.uk" },
	{ "", "amazonaws.com" },
};

static const char *partition_domain(const char *region)
{
	size_t i = 0;

	while (strncmp(region, partitions[i].prefix, strlen(partitions[i].prefix)) != 0)
		i++;
	return partitions[i].domain;
}

bool aws_region_is_valid(const char *region)
{
	size_t len = strlen(region);

	/* It becomes part of a host name. */
	return len && len < AWS_REGION_SIZE && region[0] != '-' &&
	       strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

int aws_endpoint_set(struct aws_endpoint *endpoint, const char *url, bool is_fips,
		     struct kms_error *reterr)
{
	if (!aws_region_is_valid(endpoint->region))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "'%.64s' is not an AWS region",
				endpoint->region);
	if (url && is_fips)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"a FIPS endpoint and the endpoint %s exclude each other", url);
	if (url) {
		if (snprintf(endpoint->url, sizeof(endpoint->url), "%s", url) >=
		    (int)sizeof(endpoint->url))
			return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
					"the endpoint is too long");
	} else {
		(void)snprintf(endpoint->url, sizeof(endpoint->url), "https://%s%s.%s.%s/",
			       endpoint->service, is_fips ? "-fips" : "", endpoint->region,
			       partition_domain(endpoint->region));
	}
	if (http_authority(endpoint->url, endpoint->host, sizeof(endpoint->host)) < 0)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"%s: not an https address of a service", endpoint->url);
	return http_check_service_url(endpoint->url, reterr);
}

struct signed_headers {
	char date[SIGV4_DATE_SIZE];
	char authorization[SIGV4_AUTHORIZATION_SIZE];
	struct http_header list[5];
	size_t count;
};

static void add_header(struct signed_headers *headers, const char *name, const char *value)
{
	if (value)
		headers->list[headers->count++] = (struct http_header){ name, value };
}

static int sign(const struct aws_request *request, int64_t time_s, struct signed_headers *headers)
{
	const struct aws_endpoint *endpoint = request->endpoint;
	const struct sigv4_request to_sign = { .region = endpoint->region,
					       .service = endpoint->service,
					       .host = endpoint->host,
					       .content_type = request->content_type,
					       .target = request->target,
					       .body = request->body };
	const char *token;
	int r;

	headers->count = 0;
	add_header(headers, "Content-Type", request->content_type);
	add_header(headers, "X-Amz-Target", request->target);
	if (!request->keys)
		return 0;
	token = aws_keys_session_token(request->keys);
	r = sigv4_date(time_s, headers->date);
	if (r == 0) {
		const struct sigv4_key key = { request->keys->access_key_id,
					       request->keys->secret_access_key, token };

		r = sigv4_sign(&key, &to_sign, headers->date, headers->authorization);
	}
	if (r < 0)
		return r;
	add_header(headers, "X-Amz-Date", headers->date);
	add_header(headers, "X-Amz-Security-Token", token);
	add_header(headers, "Authorization", headers->authorization);
	return 0;
}

static int exchange_at(struct http *http, const struct kms_call *call,
		       const struct aws_request *request, int64_t time_s, struct http_reply *reply,
		       struct kms_error *reterr)
{
	struct signed_headers headers;
	struct http_request http_request = { .method = "POST",
					     .url = request->endpoint->url,
					     .body = request->body };
	int r;

	r = sign(request, time_s, &headers);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: signing the request: %s",
				request->endpoint->host, strerror(-r));
	http_request.headers = headers.list;
	http_request.header_count = headers.count;
	r = http_exchange(http, call, &http_request, reply, reterr);
	secret_wipe(headers.authorization, sizeof(headers.authorization));
	return r;
}

static bool is_skewed(const struct http_reply *reply, int64_t time_s, int64_t *ret_date_s)
{
	int64_t difference_s;

	*ret_date_s = http_reply_date_s(reply);
	difference_s = *ret_date_s - time_s;
	return (reply->status == 400 || reply->status == 403) && *ret_date_s > 0 &&
	       (difference_s > SKEW_MAX_S || difference_s < -SKEW_MAX_S);
}

int aws_exchange(struct http *http, const struct kms_call *call, const struct aws_request *request,
		 struct http_reply *reply, struct kms_error *reterr)
{
	int64_t now_s = (int64_t)time(NULL);
	int64_t time_s = now_s + atomic_load(request->offset_s);
	int64_t date_s;
	int r;

	r = exchange_at(http, call, request, time_s, reply, reterr);
	if (r < 0 || !request->keys || !is_skewed(reply, time_s, &date_s))
		return r;
	/* The certificate was checked, so its Date is the service's; a wrong one only makes requests fail. */
	atomic_store(request->offset_s, date_s - now_s);
	return exchange_at(http, call, request, date_s, reply, reterr);
}
