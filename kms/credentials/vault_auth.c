/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to Vault's login methods, and what they grant.  kms/PROTOCOL.md, "vault". */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/credentials/vault_internal.h"
#include "kms/json_reader.h"

static const struct outcome outcomes[] = {
	{ .status = 400,
	  .phrase = "invalid secret id",
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "the secret id has expired or was used up; make a new one and replace the "
		    "file" },
	{ .status = 400,
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "check role and secret of the login" },
	{ .status = 403,
	  .errno_code = -EKEYEXPIRED,
	  .state = KEY_STATE_CREDENTIALS_EXPIRED,
	  .advice = "the token or login has expired, was revoked, or is for another namespace" },
	{ .status = 404,
	  .errno_code = -EINVAL,
	  .advice = "no such login method; check auth_mount and namespace" },
	{ .status = 412,
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true },
	{ .status = 472,
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true },
	{ .status = 473,
	  .errno_code = -EHOSTUNREACH,
	  .state = KEY_STATE_UNREACHABLE,
	  .is_retryable = true },
	{ 0 },
};

static void copy_accessor(const struct json_reader *root, const char *path,
			  struct vault_grant *grant)
{
	const char *text = json_reader_text(root, path);

	(void)snprintf(grant->accessor, sizeof(grant->accessor), "%.127s", text ? text : "");
}

/* A token that can stand in a header. */
static bool is_token(const char *text)
{
	size_t len = text ? strlen(text) : 0;

	return len && len <= TOKEN_MAX && !strpbrk(text, "\r\n");
}

int vault_decode_auth(struct bytes body, struct vault_grant *ret_grant)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct vault_grant grant = { 0 };
	const char *token;
	int r;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	token = json_reader_text(root, "auth.client_token");
	if (!is_token(token) || !json_reader_number(root, "auth.lease_duration", &grant.lease_s) ||
	    grant.lease_s < 0)
		return -EBADMSG;
	grant.is_renewable = json_reader_is_true(root, "auth.renewable");
	copy_accessor(root, "auth.accessor", &grant);
	r = secret_copy(bytes_from_text(token), &grant.token);
	if (r == 0)
		*ret_grant = grant;
	return r;
}

int vault_decode_lookup(struct bytes body, struct vault_grant *ret_grant)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct vault_grant grant = { 0 };

	if (json_reader_parse(body, &root) < 0 ||
	    !json_reader_number(root, "data.ttl", &grant.lease_s) || grant.lease_s < 0)
		return -EBADMSG;
	grant.is_renewable = json_reader_is_true(root, "data.renewable");
	copy_accessor(root, "data.accessor", &grant);
	*ret_grant = grant;
	return 0;
}

static int fail(const struct request_name *name, const struct http_reply *reply,
		struct kms_error *reterr)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	struct refusal refusal = { .status = reply->status };

	if (json_reader_parse((struct bytes){ (const uint8_t *)reply->body, reply->size }, &root) ==
	    0)
		refusal.message = json_reader_text(root, "errors.0");
	return outcome_fail(outcomes, name, &refusal, reply, reterr);
}

int vault_auth_request(struct vault_login *login, const struct kms_call *call, const char *path,
		       const struct text *body, const struct secret *token,
		       int (*decode)(struct bytes body, struct vault_grant *ret_grant),
		       struct vault_grant *ret_grant, struct kms_error *reterr)
{
	const struct request_name name = { "Vault", "login", path };
	CLEANUP(secret_cleanup) struct secret *token_text = NULL;
	struct http_header headers[4] = { { "X-Vault-Request", "true" } };
	struct http_reply reply = { 0 };
	char url[1024];
	size_t count = 1;
	int r = 0;

	if (snprintf(url, sizeof(url), "%s/v1/%s", login->server.base, path) >= (int)sizeof(url))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"the login's address is too "
				"long");
	if (token) {
		struct bytes bytes = secret_bytes(token);

		r = secret_new(bytes.size + 1, &token_text);
		if (r < 0)
			return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of secret memory");
		memcpy(secret_data(token_text), bytes.data, bytes.size);
		headers[count++] = (struct http_header){
			"X-Vault-Token", (const char *)secret_bytes(token_text).data
		};
	}
	if (login->server.namespace)
		headers[count++] = (struct http_header){ "X-Vault-Namespace",
							 login->server.namespace };
	if (body)
		headers[count++] = (struct http_header){ "Content-Type", "application/json" };
	const struct http_request request = {
		.method = body ? "POST" : "GET",
		.url = url,
		.headers = headers,
		.header_count = count,
		.body = body ? text_bytes(body) : (struct bytes){ 0 },
	};

	r = http_exchange(login->server.http, call, &request, &reply, reterr);
	if (r == 0 && reply.status != 200)
		r = fail(&name, &reply, reterr);
	else if (r == 0 &&
		 decode((struct bytes){ (const uint8_t *)reply.body, reply.size }, ret_grant) < 0)
		r = outcome_malformed(&name, &reply, "no token with its lease", reterr);
	http_reply_free(&reply);
	return r;
}
