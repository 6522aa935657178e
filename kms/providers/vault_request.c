/* SPDX-License-Identifier: Apache-2.0 */
/* One request to Vault, and whether a key is there before it is used. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/providers/vault_internal.h"
#include "kms/retry.h"

#define KNOWN_FOR_MS 60000

void vault_format_path(const struct vault *vault, const char *operation, char *path, size_t size)
{
	(void)snprintf(path, size, "%s/%s%s%s", vault->uri.mount, operation,
		       operation[0] ? "/" : "", vault->uri.key);
}

static int send_request(struct vault *vault, const struct kms_call *call,
			const struct secret *token, const char *path, const struct text *body,
			struct http_reply *reply, struct kms_error *reterr)
{
	struct http_header headers[4] = { { "X-Vault-Request", "true" } };
	char url[1024];
	size_t count = 1;

	if (snprintf(url, sizeof(url), "%s/v1/%s", vault->base, path) >= (int)sizeof(url))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"the address of the key is "
				"too long");
	headers[count++] = (struct http_header){ "X-Vault-Token",
						 (const char *)secret_bytes(token).data };
	if (vault->uri.namespace[0])
		headers[count++] = (struct http_header){ "X-Vault-Namespace",
							 vault->uri.namespace };
	if (body)
		headers[count++] = (struct http_header){ "Content-Type", "application/json" };
	const struct http_request request = {
		.method = body ? "POST" : "GET",
		.url = url,
		.headers = headers,
		.header_count = count,
		.body = body ? text_bytes(body) : (struct bytes){ 0 },
	};

	return http_exchange(vault->http, call, &request, reply, reterr);
}

static bool same_token(const struct secret *a, const struct secret *b)
{
	return secret_bytes(a).size == secret_bytes(b).size &&
	       secret_equal(secret_bytes(a).data, secret_bytes(b).data, secret_bytes(a).size);
}

/* The server gives the id of a request inside its reply. */
static int note(const struct request_name *name, const struct http_reply *reply,
		struct kms_error *reterr)
{
	outcome_note(name, reply, reterr);
	if (reterr)
		vault_decode_request_id((struct bytes){ (const uint8_t *)reply->body, reply->size },
					reterr->request_id, sizeof(reterr->request_id));
	return 0;
}

/* The server says "permission denied" both to a token that has ended and to a policy that forbids. */
int vault_request(struct vault *vault, const struct kms_call *call, const struct request_name *name,
		  const char *path, const struct text *body, struct http_reply *reply,
		  struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *first = NULL;
	CLEANUP(secret_cleanup) struct secret *second = NULL;
	int r;

	r = vault_login_token(vault->login, call, &first, reterr);
	if (r == 0)
		r = send_request(vault, call, first, path, body, reply, reterr);
	if (r < 0)
		return r;
	if (reply->status == 200)
		return note(name, reply, reterr);
	if (reply->status != 403)
		return vault_fail(name, reply, reterr);
	vault_login_reject(vault->login, first);
	r = vault_login_token(vault->login, call, &second, reterr);
	if (r < 0)
		return r;
	if (same_token(first, second))
		return vault_fail(name, reply, reterr);
	http_reply_free(reply);
	*reply = (struct http_reply){ 0 };
	r = send_request(vault, call, second, path, body, reply, reterr);
	if (r < 0)
		return r;
	return reply->status == 200 ? note(name, reply, reterr) : vault_fail(name, reply, reterr);
}

int vault_read_key(struct vault *vault, const struct kms_call *call, struct vault_key *ret_key,
		   struct kms_error *reterr)
{
	struct http_reply reply = { 0 };
	char path[2 * VAULT_PATH_SIZE + 16], shown[2 * VAULT_PATH_SIZE + 16];
	const struct request_name name = { VAULT_SERVICE, "read", shown };
	int r;

	vault_format_path(vault, "", shown, sizeof(shown));
	vault_format_path(vault, "keys", path, sizeof(path));
	r = vault_request(vault, call, &name, path, NULL, &reply, reterr);
	if (r == 0 && vault_decode_key((struct bytes){ (const uint8_t *)reply.body, reply.size },
				       ret_key) < 0)
		r = outcome_malformed(&name, &reply, "no type, or no version", reterr);
	http_reply_free(&reply);
	return r;
}

static int judge_key(const struct vault *vault, const struct vault_key *key,
		     struct kms_error *reterr)
{
	if (key->is_bindable && !key->is_derived)
		return 0;
	return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			"key %s/%s of Vault: %s; use type aes256-gcm96 or chacha20-poly1305",
			vault->uri.mount, vault->uri.key,
			key->is_derived ? "it is a derived key"
					: "its type cannot bind a wrap to its snapshot");
}

/* The key may not be read: ask what this token may do to it instead, which every token may ask. */
static int check_capabilities(struct vault *vault, const struct kms_call *call,
			      struct kms_error *reterr)
{
	char path[2 * VAULT_PATH_SIZE + 16];
	const struct request_name name = { VAULT_SERVICE, "capabilities-self", path };
	struct http_reply reply = { 0 };
	struct kms_error error = { 0 };
	struct text body = { 0 };
	bool may_create = true;
	int r;

	vault_format_path(vault, "encrypt", path, sizeof(path));
	text_add(&body, "{\"paths\":[");
	text_add_json(&body, path);
	text_add(&body, "]}");
	r = vault_request(vault, call, &name, "sys/capabilities-self", &body, &reply, &error);
	text_free(&body);
	if (r == 0 &&
	    vault_decode_capabilities((struct bytes){ (const uint8_t *)reply.body, reply.size },
				      &may_create) < 0)
		r = outcome_malformed(&name, &reply, "no capabilities", &error);
	http_reply_free(&reply);
	if (r == 0 && !may_create)
		return 0;
	if (r < 0 && r != -EACCES) {
		if (reterr)
			*reterr = error;
		return r;
	}
	r = kms_fail(reterr, -EACCES, KEY_STATE_UNKNOWN,
		     "Vault may not show whether key %s/%s exists, and %s", vault->uri.mount,
		     vault->uri.key,
		     r < 0 ? "not what this token may do" : "this token could make it by using it");
	kms_advise(reterr, "grant read on %s/keys/%s, or only update (not create) on %s",
		   vault->uri.mount, vault->uri.key, path);
	return r;
}

int vault_ensure_key(struct vault *vault, const struct kms_call *call, struct kms_error *reterr)
{
	struct vault_key key;
	struct kms_error error = { 0 };
	bool is_known;
	int r;

	pthread_mutex_lock(&vault->lock);
	is_known = retry_now_ms() < vault->known_until_ms;
	pthread_mutex_unlock(&vault->lock);
	if (is_known)
		return 0;
	r = vault_read_key(vault, call, &key, &error);
	if (r == 0)
		r = judge_key(vault, &key, &error);
	else if (r == -EACCES)
		r = check_capabilities(vault, call, &error);
	if (r < 0) {
		if (reterr)
			*reterr = error;
		return r;
	}
	pthread_mutex_lock(&vault->lock);
	vault->known_until_ms = retry_now_ms() + KNOWN_FOR_MS;
	pthread_mutex_unlock(&vault->lock);
	return 0;
}
