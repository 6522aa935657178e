/* SPDX-License-Identifier: Apache-2.0 */
/* One request to Azure Key Vault. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/credentials/token.h"
#include "kms/providers/azure_internal.h"

#define CHALLENGE_MAX 2048

static int send_request(struct azure *azure, const struct kms_call *call,
			const struct secret *token, const char *path, const struct text *body,
			struct http_reply *reply, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *bearer = NULL;
	char url[2048];
	int r;

	if (snprintf(url, sizeof(url), "%s%s", azure->base, path) >= (int)sizeof(url))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"the address of the key is "
				"too long");
	r = token_bearer(token, &bearer);
	if (r < 0)
		return kms_fail(reterr, -EPROTO, KEY_STATE_UNREACHABLE,
				"Entra ID gave a token that cannot be sent");
	const struct http_header headers[] = {
		{ "Authorization", (const char *)secret_bytes(bearer).data },
		{ "Accept", "application/json" },
		{ "Content-Type", "application/json" },
	};
	const struct http_request request = {
		.method = body ? "POST" : "GET",
		.url = url,
		.headers = headers,
		.header_count = body ? 3 : 2,
		.body = body ? text_bytes(body) : (struct bytes){ 0 },
	};

	return http_exchange(azure->http, call, &request, reply, reterr);
}

/* A quoted parameter of a Bearer challenge. */
static bool challenge_parameter(const char *challenge, const char *name, char *value, size_t size)
{
	const char *found = strcasestr(challenge, name);
	size_t len;

	if (!found)
		return false;
	found += strlen(name);
	if (*found++ != '=')
		return false;
	if (*found == '"')
		found++;
	len = strcspn(found, "\", ");
	if (!len || len >= size)
		return false;
	memcpy(value, found, len);
	value[len] = 0;
	return true;
}

/*
 * The vault names what its tokens are for.  Another domain than its own would have us fetch a token for somebody else and show
 * it here, so we never follow that, and say it.
 */
static int check_challenge(const struct azure *azure, const struct request_name *name,
			   const struct http_reply *reply, struct kms_error *reterr)
{
	char challenge[CHALLENGE_MAX], resource[512];
	int r;

	if (!http_reply_header(reply, "WWW-Authenticate", challenge, sizeof(challenge)) ||
	    (!challenge_parameter(challenge, "resource", resource, sizeof(resource)) &&
	     !challenge_parameter(challenge, "scope", resource, sizeof(resource))))
		return 0;
	if (azure_resource_fits(resource, azure->key.host))
		return 0;
	r = kms_fail(reterr, -EACCES, KEY_STATE_DENIED,
		     "%s: %s of %s: it asks for a token for %s, which is not its own domain",
		     name->service, name->operation, name->key, resource);
	kms_advise(reterr, "no token was sent again; check where the name of the vault leads");
	return r;
}

int azure_request(struct azure *azure, const struct kms_call *call, const struct request_name *name,
		  const char *path, const struct text *body, struct http_reply *reply,
		  struct kms_error *reterr)
{
	for (unsigned attempt = 0;; attempt++) {
		CLEANUP(secret_cleanup) struct secret *token = NULL;
		int r;

		r = azure_identity_token(azure->identity, call, &token, reterr);
		if (r == 0)
			r = send_request(azure, call, token, path, body, reply, reterr);
		if (r < 0)
			return r;
		if (reply->status == 200) {
			outcome_note(name, reply, reterr);
			return 0;
		}
		if (reply->status != 401)
			return azure_fail(name, reply, reterr);
		azure_identity_reject(azure->identity, token);
		r = check_challenge(azure, name, reply, reterr);
		if (r < 0)
			return r;
		if (attempt)
			return azure_fail(name, reply, reterr);
		http_reply_free(reply);
		*reply = (struct http_reply){ 0 };
	}
}
