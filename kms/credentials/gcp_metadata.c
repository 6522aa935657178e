/* SPDX-License-Identifier: Apache-2.0 */
/* The service account that Google gives to a machine. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/gcp_internal.h"

#define METADATA_HOST       "metadata.google.internal"
#define METADATA_PATH       "/computeMetadata/v1/instance/service-accounts/default/"
#define METADATA_TIMEOUT_MS 3000

static int get(struct gcp_identity *identity, const struct kms_call *call,
	       const struct request_name *name, const char *path, struct http_reply *reply,
	       struct kms_error *reterr)
{
	static const struct http_header headers[] = { { "Metadata-Flavor", "Google" } };
	const struct kms_call shorter = oauth_shorten(call, METADATA_TIMEOUT_MS);
	struct http_request request = { .method = "GET", .headers = headers, .header_count = 1 };
	const char *host = getenv("GCE_METADATA_HOST");
	struct text url = { 0 };
	char flavor[16];
	int r;

	text_add(&url, "http://");
	text_add(&url, host && *host ? host : METADATA_HOST);
	text_add(&url, METADATA_PATH);
	text_add(&url, path);
	request.url = url.data;
	r = text_check(&url) < 0 ? kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory")
				 : http_exchange(identity->http, &shorter, &request, reply, reterr);
	text_free(&url);
	if (r < 0) {
		kms_advise(reterr, "not a machine of Google Cloud? set credentials_file or "
				   "GOOGLE_APPLICATION_CREDENTIALS");
		return r;
	}
	/* Anything else that answers there (a proxy, a captive portal) must not be believed. */
	if (!http_reply_header(reply, "Metadata-Flavor", flavor, sizeof(flavor)) ||
	    strcmp(flavor, "Google") != 0)
		return outcome_malformed(name, reply, "it does not come from the metadata server",
					 reterr);
	return reply->status == 200 ? 0 : oauth_fail(name, reply, reterr);
}

/* Only for the record of who wrapped: failing to learn it fails nothing. */
static void learn_principal(struct gcp_identity *identity, const struct kms_call *call)
{
	const struct request_name name = { "Google metadata", "email", "service account" };
	struct http_reply reply = { 0 };

	if (get(identity, call, &name, "email", &reply, NULL) == 0 && reply.size &&
	    reply.size < PRINCIPAL_SIZE && strchr(reply.body, '@') &&
	    !strpbrk(reply.body, "\r\n \"<"))
		gcp_set_principal(identity, reply.body);
	http_reply_free(&reply);
}

static int metadata_log_in(struct gcp_identity *identity, const struct kms_call *call,
			   const struct json_reader *file, const char *scope,
			   struct token *ret_token, struct kms_error *reterr)
{
	const struct request_name name = { "Google metadata", "login", "service account" };
	struct http_reply reply = { 0 };
	int r;

	/* Its scopes were fixed when the machine was made. */
	(void)file;
	(void)scope;
	r = get(identity, call, &name, "token", &reply, reterr);
	if (r == 0 &&
	    oauth_decode((struct bytes){ (const uint8_t *)reply.body, reply.size }, ret_token) < 0)
		r = outcome_malformed(&name, &reply, "no access_token with a lifetime", reterr);
	http_reply_free(&reply);
	if (r == 0 && !strcmp(identity->principal, "default"))
		learn_principal(identity, call);
	return r;
}

static const char *metadata_principal(const struct json_reader *file)
{
	(void)file;
	return NULL;
}

const struct gcp_source gcp_metadata = {
	.name = "metadata",
	.principal = metadata_principal,
	.log_in = metadata_log_in,
};
