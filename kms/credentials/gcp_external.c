/* SPDX-License-Identifier: Apache-2.0 */
/*
 * External accounts: a token of somebody else's (a cluster, a CI, a company) is exchanged at Google's STS, and then, where the
 * file asks for it, for one of a service account.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kms/credentials/command.h"
#include "kms/credentials/gcp_internal.h"
#include "kms/credentials/public_file.h"
#include "meta/timestamp.h"

#define GRANT_EXCHANGE    "urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE_ACCESS_TOKEN "urn:ietf:params:oauth:token-type:access_token"
#define SOURCE_HEADERS    8
#define EXECUTABLE_MAX_MS 120000

/* The subject token in TEXT, which is either it, or JSON that holds it. */
static int pick_token(const struct json_reader *file, struct bytes text, struct secret **ret_token)
{
	const char *type = json_reader_text(file, "credential_source.format.type");
	const char *field = json_reader_text(file,
					     "credential_source.format.subject_token_field_name");
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	const char *token;

	if (!type || !strcmp(type, "text")) {
		while (text.size && strchr(" \t\r\n", text.data[text.size - 1]))
			text.size--;
		return text.size ? secret_copy(text, ret_token) : -EBADMSG;
	}
	if (strcmp(type, "json") != 0 || !field || json_reader_parse(text, &root) < 0)
		return -EBADMSG;
	token = json_reader_text(root, field);
	return token && *token ? secret_copy(bytes_from_text(token), ret_token) : -EBADMSG;
}

static int from_file(const struct json_reader *file, const char *path, struct secret **ret_token,
		     struct kms_error *reterr)
{
	char *text = NULL;
	int r;

	r = public_file_read(path, &text, reterr);
	if (r < 0)
		return r;
	r = pick_token(file, bytes_from_text(text), ret_token);
	secret_wipe(text, strlen(text));
	free(text);
	return r < 0 ? kms_fail(reterr, r, KEY_STATE_CREDENTIALS_EXPIRED, "%s: no token in it",
				path)
		     : 0;
}

static int from_url(struct gcp_identity *identity, const struct kms_call *call,
		    const struct json_reader *file, const char *url, struct secret **ret_token,
		    struct kms_error *reterr)
{
	const struct request_name name = { "external account", "subject token", url };
	struct http_header headers[SOURCE_HEADERS];
	struct http_request request = { .method = "GET", .url = url, .headers = headers };
	struct http_reply reply = { 0 };
	int r;

	for (size_t i = 0; i < SOURCE_HEADERS; i++) {
		const char *header = json_reader_name(file, "credential_source.headers", i);
		char path[128];
		const char *value;

		(void)snprintf(path, sizeof(path), "credential_source.headers.%s",
			       header ? header : "");
		value = json_reader_text(file, path);

		if (value)
			headers[request.header_count++] = (struct http_header){ header, value };
	}
	r = http_exchange(identity->http, call, &request, &reply, reterr);
	if (r == 0 && reply.status != 200)
		r = oauth_fail(&name, &reply, reterr);
	else if (r == 0 &&
		 pick_token(file, (struct bytes){ (const uint8_t *)reply.body, reply.size },
			    ret_token) < 0)
		r = outcome_malformed(&name, &reply, "no token in it", reterr);
	http_reply_free(&reply);
	return r;
}

/* One variable of the executable's environment.  Quotes would end the word. */
static int add_variable(struct text *command, const char *name, const char *value)
{
	if (strpbrk(value, "'\\"))
		return -EINVAL;
	text_add_format(command, "GOOGLE_EXTERNAL_ACCOUNT_%s='%s' ", name, value);
	return 0;
}

static int decode_executable(struct bytes output, struct secret **ret_token,
			     struct kms_error *reterr)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	const char *message, *token;
	int64_t end_s;

	if (json_reader_parse(output, &root) < 0)
		return kms_fail(reterr, -EPROTO, KEY_STATE_CREDENTIALS_EXPIRED,
				"the credential executable printed no JSON object");
	if (!json_reader_is_true(root, "success")) {
		message = json_reader_text(root, "message");
		return kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
				"the credential executable failed: %s",
				message ? message : "no message");
	}
	if (json_reader_number(root, "expiration_time", &end_s) && end_s <= (int64_t)time(NULL))
		return kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED,
				"the credential executable printed a token that has expired");
	token = json_reader_text(root, "id_token");
	if (!token)
		token = json_reader_text(root, "saml_response");
	if (!token || !*token)
		return kms_fail(reterr, -EPROTO, KEY_STATE_CREDENTIALS_EXPIRED,
				"the credential executable printed no token");
	return secret_copy(bytes_from_text(token), ret_token);
}

static int from_executable(const struct json_reader *file, const char *executable,
			   struct secret **ret_token, struct kms_error *reterr)
{
	const char *allowed = getenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES");
	const char *audience = json_reader_text(file, "audience");
	const char *type = json_reader_text(file, "subject_token_type");
	int64_t timeout_ms = COMMAND_TIMEOUT_MS;
	struct command_output output = { 0 };
	struct text command = { 0 };
	int r;

	if (!allowed || strcmp(allowed, "1") != 0) {
		r = kms_fail(reterr, -EACCES, KEY_STATE_CREDENTIALS_EXPIRED,
			     "the credentials file names an executable, which is not allowed to "
			     "run");
		kms_advise(reterr, "set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 if you trust "
				   "that file");
		return r;
	}
	if (json_reader_number(file, "credential_source.executable.timeout_millis", &timeout_ms) &&
	    (timeout_ms < 1 || timeout_ms > EXECUTABLE_MAX_MS))
		timeout_ms = COMMAND_TIMEOUT_MS;
	text_add(&command, "env ");
	r = add_variable(&command, "AUDIENCE", audience ? audience : "");
	if (r == 0)
		r = add_variable(&command, "TOKEN_TYPE", type ? type : "");
	if (r == 0)
		r = add_variable(&command, "INTERACTIVE", "0");
	text_add(&command, executable);
	if (r < 0 || text_check(&command) < 0)
		r = kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			     "the credentials file holds a quote in its audience");
	else
		r = command_run(command.data, (uint32_t)timeout_ms, &output, reterr);
	text_free(&command);
	if (r < 0)
		return r;
	r = decode_executable((struct bytes){ output.data, output.size }, ret_token, reterr);
	command_output_free(&output);
	return r;
}

static int subject_token(struct gcp_identity *identity, const struct kms_call *call,
			 const struct json_reader *file, struct secret **ret_token,
			 struct kms_error *reterr)
{
	const char *path = json_reader_text(file, "credential_source.file");
	const char *url = json_reader_text(file, "credential_source.url");
	const char *executable = json_reader_text(file, "credential_source.executable.command");

	if (path)
		return from_file(file, path, ret_token, reterr);
	if (executable)
		return from_executable(file, executable, ret_token, reterr);
	if (url && !json_reader_has(file, "credential_source.environment_id"))
		return from_url(identity, call, file, url, ret_token, reterr);
	return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			"%s: credential_source must be a file, a url or an executable",
			identity->path);
}

static int exchange(struct gcp_identity *identity, const struct kms_call *call,
		    const struct json_reader *file, const char *scope, const struct secret *subject,
		    struct token *ret_token, struct kms_error *reterr)
{
	const struct request_name name = { "Google STS", "token exchange", identity->principal };
	const char *audience, *type, *url;
	struct text form = { 0 };
	int r;

	r = gcp_required(identity, file, "audience", &audience, reterr);
	if (r == 0)
		r = gcp_required(identity, file, "subject_token_type", &type, reterr);
	if (r == 0)
		r = gcp_required(identity, file, "token_url", &url, reterr);
	if (r < 0)
		return r;
	text_add_field(&form, "grant_type", bytes_from_text(GRANT_EXCHANGE));
	text_add_field(&form, "audience", bytes_from_text(audience));
	text_add_field(&form, "scope", bytes_from_text(scope));
	text_add_field(&form, "requested_token_type", bytes_from_text(TYPE_ACCESS_TOKEN));
	text_add_field(&form, "subject_token_type", bytes_from_text(type));
	text_add_field(&form, "subject_token", secret_bytes(subject));
	r = oauth_post(identity->http, call, &name, url, &form, ret_token, reterr);
	text_free(&form);
	return r;
}

static int external_log_in(struct gcp_identity *identity, const struct kms_call *call,
			   const struct json_reader *file, const char *scope,
			   struct token *ret_token, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *subject = NULL;
	int r;

	r = subject_token(identity, call, file, &subject, reterr);
	if (r < 0)
		return r;
	return exchange(identity, call, file, scope, subject, ret_token, reterr);
}

/* EMAIL:generateAccessToken, or the pool of identities. */
static const char *external_principal(const struct json_reader *file)
{
	const char *url = json_reader_text(file, "service_account_impersonation_url");
	const char *account = url ? strstr(url, "/serviceAccounts/") : NULL;

	return account ? account + strlen("/serviceAccounts/") : json_reader_text(file, "audience");
}

const struct gcp_source gcp_external_account = {
	.name = "external-account",
	.type = "external_account",
	.principal = external_principal,
	.log_in = external_log_in,
};

static int decode_impersonated(struct bytes body, struct token *ret_token)
{
	CLEANUP(json_reader_cleanup) struct json_reader *root = NULL;
	const char *text, *end;
	struct timespec end_time;
	struct token token = { 0 };
	int r;

	if (json_reader_parse(body, &root) < 0)
		return -EBADMSG;
	text = json_reader_text(root, "accessToken");
	end = json_reader_text(root, "expireTime");
	if (!text || !*text || strlen(text) > TOKEN_MAX || !end ||
	    timestamp_parse(end, &end_time) < 0)
		return -EBADMSG;
	token.lifetime_s = (int64_t)end_time.tv_sec - (int64_t)time(NULL);
	if (token.lifetime_s < 1)
		return -EBADMSG;
	r = secret_copy(bytes_from_text(text), &token.secret);
	if (r == 0)
		*ret_token = token;
	return r;
}

int gcp_impersonate(struct gcp_identity *identity, const struct kms_call *call, const char *url,
		    const struct secret *token, struct token *ret_token, struct kms_error *reterr)
{
	static const char body[] = "{\"scope\":[\"" GCP_SCOPE "\"],\"lifetime\":\"3600s\"}";
	const struct request_name name = { "Google IAM", "generateAccessToken",
					   identity->principal };
	CLEANUP(secret_cleanup) struct secret *bearer = NULL;
	struct http_reply reply = { 0 };
	int r;

	r = token_bearer(token, &bearer);
	if (r < 0)
		return kms_fail(reterr, -EPROTO, KEY_STATE_UNREACHABLE,
				"the login gave a token that cannot be sent");
	const struct http_header headers[] = {
		{ "Authorization", (const char *)secret_bytes(bearer).data },
		{ "Content-Type", "application/json" },
	};
	const struct http_request request = { .method = "POST",
					      .url = url,
					      .headers = headers,
					      .header_count = ARRAY_SIZE(headers),
					      .body = bytes_from_text(body) };

	r = http_exchange(identity->http, call, &request, &reply, reterr);
	if (r == 0 && reply.status != 200)
		r = oauth_fail(&name, &reply, reterr);
	else if (r == 0 &&
		 decode_impersonated((struct bytes){ (const uint8_t *)reply.body, reply.size },
				     ret_token) < 0)
		r = outcome_malformed(&name, &reply, "no accessToken with its end", reterr);
	http_reply_free(&reply);
	return r;
}
