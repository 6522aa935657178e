/* SPDX-License-Identifier: Apache-2.0 */
/* Logging in at Entra ID: client secret, client certificate, workload identity.  Forms: kms/PROTOCOL.md, "azure". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "kms/credentials/azure_internal.h"
#include "kms/credentials/public_file.h"
#include "kms/credentials/secret_source.h"
#include "kms/crypto/jwt.h"
#include "kms/crypto/random.h"
#include "meta/encoding.h"

#define AUTHORITY_DEFAULT "https://login.microsoftonline.com"
#define ASSERTION_TYPE    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define ASSERTION_LIFE_S  600

/* Where this tenant's tokens come from. */
static int token_url(const struct azure_identity *identity, char *url, size_t size,
		     struct kms_error *reterr)
{
	const char *authority = azure_value(identity, "authority_host", "AZURE_AUTHORITY_HOST");
	const char *tenant = azure_value(identity, "tenant_id", "AZURE_TENANT_ID");
	size_t len;

	if (!authority)
		authority = AUTHORITY_DEFAULT;
	len = strlen(authority);
	while (len && authority[len - 1] == '/')
		len--;
	if (strncasecmp(authority, "https://", 8) != 0)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"authority_host %s: the login server needs https://", authority);
	for (const char *c = tenant; *c; c++)
		if (strchr("/?#%\\ ", *c))
			return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
					"tenant_id %s: not a tenant", tenant);
	if (snprintf(url, size, "%.*s/%s/oauth2/v2.0/token", (int)len, authority, tenant) >=
	    (int)size)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"the address of the login server is too long");
	return 0;
}

static int check_application(const struct azure_identity *identity, struct kms_error *reterr)
{
	static const struct {
		const char *setting;
		const char *variable;
	} needed[] = { { "tenant_id", "AZURE_TENANT_ID" }, { "client_id", "AZURE_CLIENT_ID" } };
	char url[1024];

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!azure_value(identity, needed[i].setting, needed[i].variable))
			return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
					"credentials %s: %s is missing (%s)",
					identity->source->name, needed[i].setting,
					needed[i].variable);
	return token_url(identity, url, sizeof(url), reterr);
}

/* The members that every application sends, then one more that proves who it is. */
static int log_in(const struct azure_identity *identity, const struct kms_call *call,
		  const char *proof_name, struct bytes proof, struct token *ret_token,
		  struct kms_error *reterr)
{
	const char *client = azure_value(identity, "client_id", "AZURE_CLIENT_ID");
	const struct request_name name = { "Entra ID", "login", client };
	struct text form = { 0 }, scope = { 0 };
	char url[1024];
	int r;

	r = token_url(identity, url, sizeof(url), reterr);
	if (r < 0)
		return r;
	text_add(&scope, identity->resource);
	text_add(&scope, "/.default");
	text_add_field(&form, "grant_type", bytes_from_text("client_credentials"));
	text_add_field(&form, "client_id", bytes_from_text(client));
	text_add_field(&form, "scope", text_bytes(&scope));
	if (strcmp(proof_name, "client_secret") != 0)
		text_add_field(&form, "client_assertion_type", bytes_from_text(ASSERTION_TYPE));
	text_add_field(&form, proof_name, proof);
	r = oauth_post(identity->http, call, &name, url, &form, ret_token, reterr);
	text_free(&form);
	text_free(&scope);
	return r;
}

static int secret_fetch(void *arg, const struct kms_call *call, struct token *ret_token,
			struct kms_error *reterr)
{
	struct azure_identity *identity = arg;
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	int r;

	r = secret_source_read(identity->config, "client_secret", &secret, reterr);
	if (r == -ENOENT) {
		r = secret_source_environment("AZURE_CLIENT_SECRET", &secret);
		if (r < 0)
			(void)kms_fail(reterr, r, KEY_STATE_CREDENTIALS_EXPIRED,
				       "no client secret: set client_secret_file");
	}
	if (r < 0)
		return r;
	return log_in(identity, call, "client_secret", secret_bytes(secret), ret_token, reterr);
}

const struct azure_source azure_client_secret = { "client-secret", check_application,
						  secret_fetch };

/* The key and the certificate, of one file or of two. */
static int read_certificate(const struct azure_identity *identity, struct rsa_key **ret_key,
			    uint8_t thumbprint[static RSA_THUMBPRINT_SIZE],
			    struct kms_error *reterr)
{
	const char *certificate = azure_value(identity, "client_certificate",
					      "AZURE_CLIENT_CERTIFICATE_PATH");
	const char *key_path = kms_config_get(identity->config, "client_key");
	CLEANUP(secret_cleanup) struct secret *pem = NULL;
	CLEANUP(secret_cleanup) struct secret *passphrase = NULL;
	char *text = NULL;
	int r;

	r = secret_source_read(identity->config, "client_key_passphrase", &passphrase, reterr);
	if (r == -ENOENT) {
		r = secret_source_environment("AZURE_CLIENT_CERTIFICATE_PASSWORD", &passphrase);
		r = r == -ENOENT ? 0 : r;
	}
	if (r == 0)
		r = secret_source_file(key_path ? key_path : certificate, &pem, reterr);
	if (r == 0 && key_path)
		r = public_file_read(certificate, &text, reterr);
	if (r < 0)
		return r;
	r = rsa_certificate_thumbprint(text ? bytes_from_text(text) : secret_bytes(pem),
				       thumbprint);
	free(text);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: no certificate in PEM form",
				certificate);
	r = rsa_private_from_pem(secret_bytes(pem), passphrase, ret_key);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "%s: %s",
				key_path ? key_path : certificate,
				r == -EKEYREJECTED ? "the passphrase does not open the private key"
						   : "no RSA private key in PEM form");
	return 0;
}

static int sign_assertion(const struct azure_identity *identity, const struct rsa_key *key,
			  const uint8_t thumbprint[static RSA_THUMBPRINT_SIZE],
			  struct text *assertion, struct kms_error *reterr)
{
	const char *client = azure_value(identity, "client_id", "AZURE_CLIENT_ID");
	const struct bytes print = { thumbprint, RSA_THUMBPRINT_SIZE };
	struct text header = { 0 }, claims = { 0 };
	int64_t now_s = (int64_t)time(NULL);
	char id[UUID_TEXT_SIZE], url[1024];
	struct uuid uuid;
	int r;

	r = token_url(identity, url, sizeof(url), reterr);
	if (r < 0)
		return r;
	r = random_uuid(&uuid);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "drawing an id: %s", strerror(-r));
	uuid_format(&uuid, id);
	text_add(&header, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"x5t\":\"");
	text_add_base64url(&header, print);
	text_add(&header, "\",\"kid\":\"");
	for (size_t i = 0; i < print.size; i++)
		text_add_format(&header, "%02X", thumbprint[i]);
	text_add(&header, "\"}");
	text_add(&claims, "{\"aud\":");
	text_add_json(&claims, url);
	text_add(&claims, ",\"iss\":");
	text_add_json(&claims, client);
	text_add(&claims, ",\"sub\":");
	text_add_json(&claims, client);
	text_add_format(&claims, ",\"jti\":\"%s\",\"nbf\":%lld,\"exp\":%lld}", id, (long long)now_s,
			(long long)now_s + ASSERTION_LIFE_S);
	r = text_check(&header) < 0 || text_check(&claims) < 0
		    ? -ENOMEM
		    : jwt_sign(key, header.data, claims.data, assertion);
	text_free(&header);
	text_free(&claims);
	return r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN, "signing the login: %s", strerror(-r))
		     : 0;
}

static int check_certificate(const struct azure_identity *identity, struct kms_error *reterr)
{
	if (!azure_value(identity, "client_certificate", "AZURE_CLIENT_CERTIFICATE_PATH"))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"credentials client-certificate: client_certificate is missing");
	return check_application(identity, reterr);
}

static int certificate_fetch(void *arg, const struct kms_call *call, struct token *ret_token,
			     struct kms_error *reterr)
{
	struct azure_identity *identity = arg;
	CLEANUP(rsa_key_cleanup) struct rsa_key *key = NULL;
	uint8_t thumbprint[RSA_THUMBPRINT_SIZE];
	struct text assertion = { 0 };
	int r;

	r = read_certificate(identity, &key, thumbprint, reterr);
	if (r == 0)
		r = sign_assertion(identity, key, thumbprint, &assertion, reterr);
	if (r == 0)
		r = log_in(identity, call, "client_assertion", text_bytes(&assertion), ret_token,
			   reterr);
	text_free(&assertion);
	return r;
}

const struct azure_source azure_client_certificate = { "client-certificate", check_certificate,
						       certificate_fetch };

static int check_workload(const struct azure_identity *identity, struct kms_error *reterr)
{
	if (!azure_value(identity, "federated_token_file", "AZURE_FEDERATED_TOKEN_FILE"))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"credentials workload-identity: federated_token_file is missing");
	return check_application(identity, reterr);
}

static int workload_fetch(void *arg, const struct kms_call *call, struct token *ret_token,
			  struct kms_error *reterr)
{
	struct azure_identity *identity = arg;
	const char *path = azure_value(identity, "federated_token_file",
				       "AZURE_FEDERATED_TOKEN_FILE");
	char *text = NULL;
	int r;

	/* Projected by the cluster with a mode of its own choosing, and replaced every hour. */
	r = public_file_read(path, &text, reterr);
	if (r < 0)
		return r;
	text[strcspn(text, "\r\n")] = 0;
	r = log_in(identity, call, "client_assertion", bytes_from_text(text), ret_token, reterr);
	secret_wipe(text, strlen(text));
	free(text);
	return r;
}

const struct azure_source azure_workload_identity = { "workload-identity", check_workload,
						      workload_fetch };
