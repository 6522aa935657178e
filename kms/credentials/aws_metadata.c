/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials that the machine itself hands out.
 *
 * The instance service answers from a fixed address or not at all; within a container with a hop limit of one its answers
 * get lost.  So its timeouts are short, and the message says so.
 */
#include "kms/credentials/aws_metadata.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "kms/credentials/public_file.h"
#include "kms/retry.h"

#define INSTANCE_TIMEOUT_MS  1000
#define CONTAINER_TIMEOUT_MS 2000
#define CONTAINER_ATTEMPTS   3
#define CONTAINER_HOST       "http://169.254.170.2"
#define URL_SIZE             1024
/* When the service itself serves keys that have expired, they are used on, and asked for again after this. */
#define STALE_EXTENSION_S    600

/* A part of the whole call's time. */
static struct kms_call within(const struct kms_call *call, int64_t timeout_ms)
{
	int64_t deadline_ms = retry_now_ms() + timeout_ms;
	struct kms_call part = *call;

	if (deadline_ms < part.deadline_ms)
		part.deadline_ms = deadline_ms;
	return part;
}

/* The host of a URL without its port. */
static bool has_host(const char *url, const char *host)
{
	char authority[300];
	size_t len = strlen(host);

	return http_authority(url, authority, sizeof(authority)) == 0 &&
	       !strncasecmp(authority, host, len) && (!authority[len] || authority[len] == ':');
}

/* A token of this container must not travel further than the vendor's tools let it. */
static bool may_receive_token(const char *url)
{
	static const char *const hosts[] = { "localhost",     "127.0.0.1",      "[::1]",
					     "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]" };

	if (!strncasecmp(url, "https://", 8))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		if (has_host(url, hosts[i]))
			return true;
	return false;
}

static int container_url(char url[static URL_SIZE], struct kms_error *reterr)
{
	const char *relative = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	int len;

	if (relative && *relative)
		len = snprintf(url, URL_SIZE, CONTAINER_HOST "%s%s", *relative == '/' ? "" : "/",
			       relative);
	else if (full && *full)
		len = snprintf(url, URL_SIZE, "%s", full);
	else
		return -ENOENT;
	if (len >= URL_SIZE || !may_receive_token(url))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"AWS_CONTAINER_CREDENTIALS_FULL_URI: only https, this machine and "
				"the addresses of container services are asked for credentials");
	return 0;
}

/* The value of Authorization, read anew each time; NULL: none. */
static int container_token(struct secret **ret_token, struct kms_error *reterr)
{
	const char *path = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *value = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	char *text = NULL;
	size_t len;
	int r;

	if (path && *path) {
		r = public_file_read(path, &text, reterr);
		if (r < 0)
			return r;
		value = text;
	}
	if (!value || !*value)
		return 0;
	len = strlen(value);
	/* The newline that ends a file is not part of the token; one within is refused. */
	while (text && len && (value[len - 1] == '\n' || value[len - 1] == '\r'))
		len--;
	r = secret_new(len + 1, ret_token);
	if (r == 0)
		memcpy(secret_data(*ret_token), value, len);
	if (text)
		secret_wipe(text, strlen(text));
	free(text);
	return r;
}

static bool is_bad_token(const char *token)
{
	return strpbrk(token, "\r\n") != NULL;
}

int aws_container_keys(struct http *http, const struct kms_call *call, struct aws_keys **ret_keys,
		       struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *token = NULL;
	struct http_header header = { "Authorization", NULL };
	struct http_reply reply = { 0 };
	char url[URL_SIZE];
	int r;

	r = container_url(url, reterr);
	if (r == 0)
		r = container_token(&token, reterr);
	if (r < 0)
		return r;
	if (token) {
		header.value = (const char *)secret_bytes(token).data;
		if (is_bad_token(header.value))
			return kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
					"the container's authorization token has a line end in it");
	}
	for (int i = 0; i < CONTAINER_ATTEMPTS; i++) {
		const struct kms_call part = within(call, CONTAINER_TIMEOUT_MS);
		const struct http_request request = { .method = "GET",
						      .url = url,
						      .headers = &header,
						      .header_count = token ? 1 : 0 };

		r = http_exchange(http, &part, &request, &reply, reterr);
		if (r == -EINTR || (r == 0 && reply.status < 500))
			break;
	}
	if (r == 0 && reply.status != 200) {
		r = kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
			     "container credentials: the endpoint answers %d", reply.status);
		if (reterr)
			reterr->is_retryable = reply.status >= 500;
	} else if (r == 0) {
		r = aws_keys_from_json((struct bytes){ (const uint8_t *)reply.body, reply.size },
				       "container", "container credentials", ret_keys, reterr);
	}
	http_reply_free(&reply);
	return r;
}

static const char *instance_endpoint(void)
{
	const char *disabled = getenv("AWS_EC2_METADATA_DISABLED");
	const char *endpoint = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");

	if (disabled && !strcasecmp(disabled, "true"))
		return NULL;
	if (endpoint && *endpoint)
		return endpoint;
	return mode && !strcasecmp(mode, "ipv6") ? "http://[fd00:ec2::254]"
						 : "http://169.254.169.254";
}

/* One request to the service.  -ENOENT: it does not answer. */
static int ask_instance(struct http *http, const struct kms_call *call, const char *method,
			const char *path, const struct http_header *header,
			struct http_reply *reply, struct kms_error *reterr)
{
	const struct kms_call part = within(call, INSTANCE_TIMEOUT_MS);
	const char *endpoint = instance_endpoint();
	struct http_request request = { .method = method, .headers = header, .header_count = 1 };
	char url[URL_SIZE];
	size_t len = strlen(endpoint);
	int r;

	while (len && endpoint[len - 1] == '/')
		len--;
	if (snprintf(url, sizeof(url), "%.*s%s", (int)len, endpoint, path) >= (int)sizeof(url))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"AWS_EC2_METADATA_SERVICE_ENDPOINT is too long");
	request.url = url;
	r = http_exchange(http, &part, &request, reply, reterr);
	if (r == -EHOSTUNREACH || r == -ETIMEDOUT)
		return -ENOENT;
	if (r == 0 && reply->status != 200) {
		r = kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
			     "instance metadata: %d for %s", reply->status, path);
		if (reterr)
			reterr->is_retryable = reply->status >= 500;
	}
	return r;
}

/* The service may go on serving expired keys while it cannot renew them. */
static void extend_stale(struct aws_keys *keys)
{
	int64_t now_s = (int64_t)time(NULL);

	if (keys->expires_s && keys->expires_s <= now_s)
		keys->expires_s = now_s + STALE_EXTENSION_S;
}

static int read_role(struct http *http, const struct kms_call *call,
		     const struct http_header *header, char path[static URL_SIZE],
		     struct http_reply *reply, struct kms_error *reterr)
{
	static const char base[] = "/latest/meta-data/iam/security-credentials/";
	int r;

	r = ask_instance(http, call, "GET", base, header, reply, reterr);
	if (r < 0)
		return r;
	reply->body[strcspn(reply->body, "\r\n")] = 0;
	if (!*reply->body || strpbrk(reply->body, " /?#%") ||
	    snprintf(path, URL_SIZE, "%s%s", base, reply->body) >= URL_SIZE)
		return kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
				"instance metadata: this instance has no role");
	return 0;
}

int aws_instance_keys(struct http *http, const struct kms_call *call, struct aws_keys **ret_keys,
		      struct kms_error *reterr)
{
	static const struct http_header lifetime = { "x-aws-ec2-metadata-token-ttl-seconds",
						     "21600" };
	struct http_header header = { "x-aws-ec2-metadata-token", NULL };
	struct http_reply token = { 0 }, role = { 0 }, reply = { 0 };
	char path[URL_SIZE];
	int r;

	if (!instance_endpoint())
		return -ENOENT;
	r = ask_instance(http, call, "PUT", "/latest/api/token", &lifetime, &token, reterr);
	if (r == 0) {
		token.body[strcspn(token.body, "\r\n")] = 0;
		header.value = token.body;
		r = read_role(http, call, &header, path, &role, reterr);
	}
	if (r == 0)
		r = ask_instance(http, call, "GET", path, &header, &reply, reterr);
	if (r == 0)
		r = aws_keys_from_json((struct bytes){ (const uint8_t *)reply.body, reply.size },
				       "instance", "instance metadata", ret_keys, reterr);
	if (r == 0) {
		aws_keys_set_principal(*ret_keys, role.body);
		extend_stale(*ret_keys);
	}
	http_reply_free(&token);
	http_reply_free(&role);
	http_reply_free(&reply);
	return r;
}
