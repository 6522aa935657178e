/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to get a token of Vault. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kms/credentials/public_file.h"
#include "kms/credentials/secret_source.h"
#include "kms/credentials/vault_internal.h"

#define JWT_FILE "/var/run/secrets/kubernetes.io/serviceaccount/token"

/* Token setting, the vendor's variables, the file that `vault login` writes. */
static int read_token(const struct vault_login *login, struct secret **ret_token,
		      struct kms_error *reterr)
{
	const char *home = getenv("HOME");
	char path[4096];
	int r;

	r = secret_source_read(login->config, "token", ret_token, reterr);
	if (r != -ENOENT)
		return r;
	r = secret_source_environment("VAULT_TOKEN", ret_token);
	if (r == -ENOENT)
		r = secret_source_environment("BAO_TOKEN", ret_token);
	if (r != -ENOENT)
		return r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of secret memory") : 0;
	if (home && *home &&
	    snprintf(path, sizeof(path), "%s/.vault-token", home) < (int)sizeof(path) &&
	    access(path, F_OK) == 0)
		return secret_source_file(path, ret_token, reterr);
	r = kms_fail(reterr, -EKEYEXPIRED, KEY_STATE_CREDENTIALS_EXPIRED, "no token for Vault");
	kms_advise(reterr, "set token_file, VAULT_TOKEN, or another auth in the [key] section");
	return r;
}

static int token_log_in(struct vault_login *login, const struct kms_call *call,
			struct vault_grant *ret_grant, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *token = NULL;
	struct vault_grant grant = { 0 };
	struct kms_error error = { 0 };
	int r;

	r = read_token(login, &token, reterr);
	if (r < 0)
		return r;
	r = vault_auth_request(login, call, "auth/token/lookup-self", NULL, token,
			       vault_decode_lookup, &grant, &error);
	/* A policy may deny looking: then only its use shows whether the token is good. */
	if (r < 0 && error.http_status != 403) {
		if (reterr)
			*reterr = error;
		return r;
	}
	vault_set_principal(login, grant.accessor[0] ? grant.accessor : "token");
	grant.token = TAKE(token);
	*ret_grant = grant;
	return 0;
}

const struct vault_method vault_token_method = {
	.name = "token",
	.log_in = token_log_in,
};

/* POST to the method's mount.  PRINCIPAL: who that is; NULL: the accessor. */
static int log_in(struct vault_login *login, const struct kms_call *call, const struct text *body,
		  const char *principal, struct vault_grant *ret_grant, struct kms_error *reterr)
{
	const char *mount = kms_config_get(login->config, "auth_mount");
	char path[512];
	int r;

	if (!mount)
		mount = login->method->mount;
	if (snprintf(path, sizeof(path), "auth/%s/login", mount) >= (int)sizeof(path) ||
	    text_check(body) < 0)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "auth_mount is too long");
	r = vault_auth_request(login, call, path, body, NULL, vault_decode_auth, ret_grant, reterr);
	if (r == 0)
		vault_set_principal(login, principal ? principal : ret_grant->accessor);
	return r;
}

static int missing(const struct vault_login *login, const char *setting, struct kms_error *reterr)
{
	if (kms_config_get(login->config, setting))
		return 0;
	return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "auth = %s: %s is missing",
			login->method->name, setting);
}

static int approle_check(const struct vault_login *login, struct kms_error *reterr)
{
	return missing(login, "role_id", reterr);
}

/* A JSON member whose value is a secret. */
static void add_secret(struct text *body, const char *name, const struct secret *secret)
{
	CLEANUP(secret_cleanup) struct secret *text = NULL;
	struct bytes bytes = secret_bytes(secret);

	if (secret_new(bytes.size + 1, &text) < 0) {
		body->has_failed = true;
		return;
	}
	memcpy(secret_data(text), bytes.data, bytes.size);
	text_add_format(body, ",\"%s\":", name);
	text_add_json(body, (const char *)secret_bytes(text).data);
}

static int approle_log_in(struct vault_login *login, const struct kms_call *call,
			  struct vault_grant *ret_grant, struct kms_error *reterr)
{
	const char *role_id = kms_config_get(login->config, "role_id");
	CLEANUP(secret_cleanup) struct secret *secret_id = NULL;
	struct text body = { 0 };
	int r;

	/* A role may be bound otherwise (by address) and need no secret id. */
	r = secret_source_read(login->config, "secret_id", &secret_id, reterr);
	if (r < 0 && r != -ENOENT)
		return r;
	text_add(&body, "{\"role_id\":");
	text_add_json(&body, role_id);
	if (secret_id)
		add_secret(&body, "secret_id", secret_id);
	text_add(&body, "}");
	r = log_in(login, call, &body, role_id, ret_grant, reterr);
	text_free(&body);
	return r;
}

const struct vault_method vault_approle_method = {
	.name = "approle",
	.mount = "approle",
	.check = approle_check,
	.log_in = approle_log_in,
};

static int kubernetes_check(const struct vault_login *login, struct kms_error *reterr)
{
	return missing(login, "vault_role", reterr);
}

static int kubernetes_log_in(struct vault_login *login, const struct kms_call *call,
			     struct vault_grant *ret_grant, struct kms_error *reterr)
{
	const char *role = kms_config_get(login->config, "vault_role");
	const char *path = kms_config_get(login->config, "jwt_file");
	struct text body = { 0 };
	char *jwt = NULL;
	int r;

	/* Projected by the cluster with a mode of its own choosing, and replaced every hour. */
	r = public_file_read(path ? path : JWT_FILE, &jwt, reterr);
	if (r < 0)
		return r;
	jwt[strcspn(jwt, "\r\n")] = 0;
	text_add(&body, "{\"role\":");
	text_add_json(&body, role);
	text_add(&body, ",\"jwt\":");
	text_add_json(&body, jwt);
	text_add(&body, "}");
	secret_wipe(jwt, strlen(jwt));
	free(jwt);
	r = log_in(login, call, &body, role, ret_grant, reterr);
	text_free(&body);
	return r;
}

const struct vault_method vault_kubernetes_method = {
	.name = "kubernetes",
	.mount = "kubernetes",
	.check = kubernetes_check,
	.log_in = kubernetes_log_in,
};

static int certificate_check(const struct vault_login *login, struct kms_error *reterr)
{
	if (kms_config_get(login->config, "client_certificate") || getenv("VAULT_CLIENT_CERT"))
		return 0;
	return missing(login, "client_certificate", reterr);
}

static int certificate_log_in(struct vault_login *login, const struct kms_call *call,
			      struct vault_grant *ret_grant, struct kms_error *reterr)
{
	const char *role = kms_config_get(login->config, "vault_role");
	struct text body = { 0 };
	int r;

	/* The certificate itself is shown in the TLS handshake. */
	text_add(&body, "{");
	if (role) {
		text_add(&body, "\"name\":");
		text_add_json(&body, role);
	}
	text_add(&body, "}");
	r = log_in(login, call, &body, role, ret_grant, reterr);
	text_free(&body);
	return r;
}

const struct vault_method vault_certificate_method = {
	.name = "certificate",
	.mount = "cert",
	.check = certificate_check,
	.log_in = certificate_log_in,
};
