/* SPDX-License-Identifier: Apache-2.0 */
/* As whom this host asks Vault: choosing a method, renewing, logging in again. */
#include "kms/credentials/vault_login.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/vault_internal.h"

static const struct vault_method *const methods[] = {
	&vault_token_method,
	&vault_approle_method,
	&vault_kubernetes_method,
	&vault_certificate_method,
};

void vault_set_principal(struct vault_login *login, const char *principal)
{
	pthread_mutex_lock(&login->lock);
	(void)snprintf(login->principal, sizeof(login->principal), "%s", principal);
	pthread_mutex_unlock(&login->lock);
}

static void forget_grant(struct vault_login *login)
{
	secret_drop(login->grant.token);
	login->grant = (struct vault_grant){ 0 };
}

/*
 * A renewal that extends by less than half of the lease has met the token's maximum: going on with it would end in a token
 * that cannot be renewed, unnoticed until something must be restored.
 */
static bool renew(struct vault_login *login, const struct kms_call *call)
{
	struct vault_grant renewed = { 0 };
	struct text body = { 0 };
	bool is_extended;
	int r;

	if (!login->grant.token || !login->grant.is_renewable || atomic_load(&login->must_log_in))
		return false;
	text_add(&body, "{}");
	r = vault_auth_request(login, call, "auth/token/renew-self", &body, login->grant.token,
			       vault_decode_auth, &renewed, NULL);
	text_free(&body);
	secret_drop(renewed.token);
	is_extended = r == 0 && renewed.lease_s > login->grant.lease_s / 2;
	if (is_extended) {
		login->grant.is_renewable = renewed.is_renewable;
		login->lease_s = renewed.lease_s;
	}
	return is_extended;
}

static int fetch(void *arg, const struct kms_call *call, struct token *ret_token,
		 struct kms_error *reterr)
{
	struct vault_login *login = arg;
	int r;

	if (!renew(login, call)) {
		struct vault_grant grant = { 0 };

		r = login->method->log_in(login, call, &grant, reterr);
		if (r < 0)
			return r;
		forget_grant(login);
		login->grant = grant;
		login->lease_s = grant.lease_s;
		atomic_store(&login->must_log_in, false);
	}
	r = secret_copy(secret_bytes(login->grant.token), &ret_token->secret);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of secret memory");
	ret_token->lifetime_s = login->lease_s;
	ret_token->renew_after_s = login->lease_s * 2 / 3;
	return 0;
}

static const struct vault_method *method_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (!strcmp(methods[i]->name, name))
			return methods[i];
	return NULL;
}

static const struct vault_method *method_present(const struct kms_config *config)
{
	if (kms_config_get(config, "role_id"))
		return &vault_approle_method;
	if (kms_config_get(config, "jwt_file"))
		return &vault_kubernetes_method;
	return &vault_token_method;
}

static int choose(struct vault_login *login, const char *auth, struct kms_error *reterr)
{
	if (!auth)
		auth = kms_config_get(login->config, "auth");
	login->method = auth ? method_by_name(auth) : method_present(login->config);
	if (!login->method)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"auth = %s: Vault has token, approle, kubernetes and certificate",
				auth);
	return login->method->check ? login->method->check(login, reterr) : 0;
}

int vault_login_open(const struct kms_config *config, const char *auth,
		     const struct vault_server *server, struct vault_login **ret_login,
		     struct kms_error *reterr)
{
	struct vault_login *login = calloc(1, sizeof(*login));
	int r;

	if (!login)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	pthread_mutex_init(&login->lock, NULL);
	login->server = *server;
	r = kms_config_copy(config, &login->config);
	if (r == 0)
		r = token_cache_open(fetch, login, &login->cache);
	r = r < 0 ? kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of memory")
		  : choose(login, auth, reterr);
	if (r < 0) {
		vault_login_close(login);
		return r;
	}
	*ret_login = login;
	return 0;
}

void vault_login_close(struct vault_login *login)
{
	if (!login)
		return;
	token_cache_close(login->cache);
	forget_grant(login);
	kms_config_free(login->config);
	pthread_mutex_destroy(&login->lock);
	free(login);
}

int vault_login_token(struct vault_login *login, const struct kms_call *call,
		      struct secret **ret_token, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *token = NULL;
	struct bytes bytes;
	int r;

	r = token_cache_get(login->cache, call, &token, reterr);
	if (r < 0)
		return r;
	bytes = secret_bytes(token);
	r = secret_new(bytes.size + 1, ret_token);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of secret memory");
	memcpy(secret_data(*ret_token), bytes.data, bytes.size);
	return 0;
}

void vault_login_reject(struct vault_login *login, const struct secret *token)
{
	struct bytes bytes = secret_bytes(token);
	CLEANUP(secret_cleanup) struct secret *plain = NULL;

	atomic_store(&login->must_log_in, true);
	/* Without the NUL that vault_login_token() put behind. */
	if (bytes.size > 1 &&
	    secret_copy((struct bytes){ bytes.data, bytes.size - 1 }, &plain) == 0)
		token_cache_reject(login->cache, plain);
}

int vault_login_access(struct vault_login *login, struct text_pairs *access)
{
	char principal[VAULT_PRINCIPAL_SIZE];
	int r;

	pthread_mutex_lock(&login->lock);
	memcpy(principal, login->principal, sizeof(principal));
	pthread_mutex_unlock(&login->lock);
	access->count = 0;
	r = text_pairs_set(access, "principal", principal[0] ? principal : "unknown");
	if (r == 0)
		r = text_pairs_set(access, "source", login->method->name);
	if (r == 0 && login->config->section)
		r = text_pairs_set(access, "section", login->config->section);
	return r;
}
