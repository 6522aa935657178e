/* SPDX-License-Identifier: Apache-2.0 */
/* The identity that Azure gives to a machine or an App Service. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/azure_internal.h"

#define METADATA_HOST       "http://169.254.169.254"
#define METADATA_PATH       "/metadata/identity/oauth2/token?api-version=2018-02-01"
#define METADATA_TIMEOUT_MS 5000

static int check_managed(const struct azure_identity *identity, struct kms_error *reterr)
{
	(void)identity;
	if (getenv("IDENTITY_ENDPOINT") && !getenv("IDENTITY_HEADER"))
		return kms_fail(
			reterr, -EINVAL, KEY_STATE_UNKNOWN,
			"IDENTITY_ENDPOINT without IDENTITY_HEADER: identities of Azure Arc "
			"are not supported; use a client certificate");
	return 0;
}

/* What the token is for, and which of several identities. */
static void add_query(const struct azure_identity *identity, struct text *url)
{
	const char *client = azure_value(identity, "client_id", "AZURE_CLIENT_ID");

	text_add(url, "&resource=");
	text_add_escaped(url, bytes_from_text(identity->resource));
	if (!client)
		return;
	text_add(url, "&client_id=");
	text_add_escaped(url, bytes_from_text(client));
}

static int metadata_fetch(const struct azure_identity *identity, const struct kms_call *call,
			  struct token *ret_token, struct kms_error *reterr)
{
	static const struct http_header headers[] = { { "Metadata", "true" } };
	const struct request_name name = { "Azure instance metadata", "login", "managed identity" };
	const struct kms_call shorter = oauth_shorten(call, METADATA_TIMEOUT_MS);
	const char *host = getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST");
	struct http_request request = { .method = "GET", .headers = headers, .header_count = 1 };
	struct text url = { 0 };
	int r;

	text_add(&url, host && *host ? host : METADATA_HOST);
	text_add(&url, METADATA_PATH);
	add_query(identity, &url);
	request.url = url.data;
	r = text_check(&url) < 0
		    ? kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory")
		    : oauth_request(identity->http, &shorter, &name, &request, ret_token, reterr);
	if ((r == -EHOSTUNREACH || r == -ETIMEDOUT) && reterr && !reterr->http_status)
		kms_advise(reterr, "no managed identity here? give tenant_id, client_id and a "
				   "client secret or certificate");
	text_free(&url);
	return r;
}

static int app_service_fetch(const struct azure_identity *identity, const struct kms_call *call,
			     const char *endpoint, struct token *ret_token,
			     struct kms_error *reterr)
{
	const struct http_header headers[] = { { "X-IDENTITY-HEADER", getenv("IDENTITY_HEADER") } };
	const struct request_name name = { "App Service", "login", "managed identity" };
	struct http_request request = { .method = "GET", .headers = headers, .header_count = 1 };
	struct text url = { 0 };
	int r;

	text_add(&url, endpoint);
	text_add(&url, "?api-version=2019-08-01");
	add_query(identity, &url);
	request.url = url.data;
	r = text_check(&url) < 0
		    ? kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory")
		    : oauth_request(identity->http, call, &name, &request, ret_token, reterr);
	text_free(&url);
	return r;
}

static int managed_fetch(void *arg, const struct kms_call *call, struct token *ret_token,
			 struct kms_error *reterr)
{
	const char *endpoint = getenv("IDENTITY_ENDPOINT");

	if (endpoint && getenv("IDENTITY_HEADER"))
		return app_service_fetch(arg, call, endpoint, ret_token, reterr);
	return metadata_fetch(arg, call, ret_token, reterr);
}

const struct azure_source azure_managed_identity = { "managed-identity", check_managed,
						     managed_fetch };
