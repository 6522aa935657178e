/* SPDX-License-Identifier: Apache-2.0 */
/* Service accounts with a key, and users who logged in with gcloud.  kms/PROTOCOL.md, "gcp". */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kms/credentials/gcp_internal.h"
#include "kms/crypto/jwt.h"

#define ASSERTION_LIFE_S 3600
#define GRANT_JWT        "urn:ietf:params:oauth:grant-type:jwt-bearer"

static const char *account_principal(const struct json_reader *file)
{
	return json_reader_text(file, "client_email");
}

/* Service accounts send their assertion there: a plain address would show it to everybody on the way. */
static const char *token_url(const struct json_reader *file)
{
	const char *url = json_reader_text(file, "token_uri");

	return url ? url : GCP_TOKEN_URL;
}

static int sign_assertion(const struct gcp_identity *identity, const struct json_reader *file,
			  const struct rsa_key *key, const char *scope, struct text *assertion,
			  struct kms_error *reterr)
{
	struct text header = { 0 }, claims = { 0 };
	long long now_s = (long long)time(NULL);
	const char *email, *key_id;
	int r;

	r = gcp_required(identity, file, "client_email", &email, reterr);
	if (r == 0)
		r = gcp_required(identity, file, "private_key_id", &key_id, reterr);
	if (r < 0)
		return r;
	text_add(&header, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":");
	text_add_json(&header, key_id);
	text_add(&header, "}");
	text_add(&claims, "{\"iss\":");
	text_add_json(&claims, email);
	text_add(&claims, ",\"scope\":");
	text_add_json(&claims, scope);
	text_add(&claims, ",\"aud\":");
	text_add_json(&claims, token_url(file));
	text_add_format(&claims, ",\"iat\":%lld,\"exp\":%lld}", now_s, now_s + ASSERTION_LIFE_S);
	r = text_check(&header) < 0 || text_check(&claims) < 0
		    ? -ENOMEM
		    : jwt_sign(key, header.data, claims.data, assertion);
	text_free(&header);
	text_free(&claims);
	return r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN, "signing the login: %s", strerror(-r))
		     : 0;
}

static int account_log_in(struct gcp_identity *identity, const struct kms_call *call,
			  const struct json_reader *file, const char *scope,
			  struct token *ret_token, struct kms_error *reterr)
{
	const struct request_name name = { "Google OAuth", "login", identity->principal };
	CLEANUP(rsa_key_cleanup) struct rsa_key *key = NULL;
	struct text assertion = { 0 }, form = { 0 };
	const char *pem;
	int r;

	r = gcp_required(identity, file, "private_key", &pem, reterr);
	if (r < 0)
		return r;
	if (rsa_private_from_pem(bytes_from_text(pem), NULL, &key) < 0)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"%s: private_key is no RSA key in PEM form", identity->path);
	r = sign_assertion(identity, file, key, scope, &assertion, reterr);
	if (r == 0) {
		text_add_field(&form, "grant_type", bytes_from_text(GRANT_JWT));
		text_add_field(&form, "assertion", text_bytes(&assertion));
		r = oauth_post(identity->http, call, &name, token_url(file), &form, ret_token,
			       reterr);
	}
	text_free(&form);
	text_free(&assertion);
	return r;
}

const struct gcp_source gcp_service_account = {
	.name = "service-account",
	.type = "service_account",
	.is_secret = true,
	.principal = account_principal,
	.log_in = account_log_in,
};

static const char *user_principal(const struct json_reader *file)
{
	const char *account = json_reader_text(file, "account");

	return account && *account ? account : json_reader_text(file, "client_id");
}

static int user_log_in(struct gcp_identity *identity, const struct kms_call *call,
		       const struct json_reader *file, const char *scope, struct token *ret_token,
		       struct kms_error *reterr)
{
	static const char *const members[] = { "client_id", "client_secret", "refresh_token" };
	const struct request_name name = { "Google OAuth", "login", identity->principal };
	struct text form = { 0 };
	int r = 0;

	/* What the token is for was decided when the user logged in. */
	(void)scope;
	text_add_field(&form, "grant_type", bytes_from_text("refresh_token"));
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(members); i++) {
		const char *value;

		r = gcp_required(identity, file, members[i], &value, reterr);
		if (r == 0)
			text_add_field(&form, members[i], bytes_from_text(value));
	}
	if (r == 0)
		r = oauth_post(identity->http, call, &name, token_url(file), &form, ret_token,
			       reterr);
	text_free(&form);
	return r;
}

const struct gcp_source gcp_authorized_user = {
	.name = "authorized-user",
	.type = "authorized_user",
	.is_secret = true,
	.principal = user_principal,
	.log_in = user_log_in,
};
