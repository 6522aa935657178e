/* SPDX-License-Identifier: Apache-2.0 */
/* One request to Google Cloud KMS. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/credentials/token.h"
#include "kms/providers/gcp_internal.h"

static int send_request(struct gcp *gcp, const struct kms_call *call, const struct secret *token,
			const char *path, const struct text *body, struct http_reply *reply,
			struct kms_error *reterr)
{
	const char *project = gcp_identity_quota_project(gcp->identity);
	CLEANUP(secret_cleanup) struct secret *bearer = NULL;
	struct http_header headers[4];
	char url[2048];
	size_t count = 0;
	int r;

	if (snprintf(url, sizeof(url), "%s/v1/%s", gcp->endpoint, path) >= (int)sizeof(url))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"the address of the key is "
				"too long");
	r = token_bearer(token, &bearer);
	if (r < 0)
		return kms_fail(reterr, -EPROTO, KEY_STATE_UNREACHABLE,
				"the login gave a token that cannot be sent");
	headers[count++] = (struct http_header){ "Authorization",
						 (const char *)secret_bytes(bearer).data };
	headers[count++] = (struct http_header){ "Accept", "application/json" };
	if (body)
		headers[count++] = (struct http_header){ "Content-Type", "application/json" };
	if (project)
		headers[count++] = (struct http_header){ "x-goog-user-project", project };
	const struct http_request request = {
		.method = body ? "POST" : "GET",
		.url = url,
		.headers = headers,
		.header_count = count,
		.body = body ? text_bytes(body) : (struct bytes){ 0 },
	};

	return http_exchange(gcp->http, call, &request, reply, reterr);
}

int gcp_request(struct gcp *gcp, const struct kms_call *call, const struct request_name *name,
		const char *path, const struct text *body, struct http_reply *reply,
		struct kms_error *reterr)
{
	for (unsigned attempt = 0;; attempt++) {
		CLEANUP(secret_cleanup) struct secret *token = NULL;
		int r;

		r = gcp_identity_token(gcp->identity, call, &token, reterr);
		if (r == 0)
			r = send_request(gcp, call, token, path, body, reply, reterr);
		if (r < 0)
			return r;
		if (reply->status == 200) {
			outcome_note(name, reply, reterr);
			return 0;
		}
		if (reply->status != 401)
			return gcp_fail(name, reply, reterr);
		gcp_identity_reject(gcp->identity, token);
		if (attempt)
			return gcp_fail(name, reply, reterr);
		http_reply_free(reply);
		*reply = (struct http_reply){ 0 };
	}
}
