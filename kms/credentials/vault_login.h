/* SPDX-License-Identifier: Apache-2.0 */
/* As whom this host asks Vault or OpenBao: a token, AppRole, Kubernetes, a TLS certificate.  Thread-safe. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_VAULT_LOGIN_H
#define SNAPCRYPT_KMS_CREDENTIALS_VAULT_LOGIN_H

#include "kms/crypto/secret.h"
#include "kms/http.h"
#include "kms/provider.h"
#include "meta/macros.h"

struct vault_login;

/* Where the server is.  Borrowed until vault_login_close(); `namespace` NULL: none. */
struct vault_server {
	struct http *http;
	const char *base; /* https://HOST:PORT */
	const char *namespace;
};

/* Choose the method by `auth` of the URI or of the section; without it by what the section holds; else a token.  No network. */
MUST_CHECK int vault_login_open(const struct kms_config *config, const char *auth,
				const struct vault_server *server, struct vault_login **ret_login,
				struct kms_error *reterr);

/* Accepts NULL. */
void vault_login_close(struct vault_login *login);

/*
 * A token with a NUL behind.  It is renewed at two thirds of its lease, and replaced by a new login when renewing no longer
 * extends it.  -EKEYEXPIRED (state credentials-expired), or what the exchange returned.
 */
MUST_CHECK int vault_login_token(struct vault_login *login, const struct kms_call *call,
				 struct secret **ret_token, struct kms_error *reterr);

/* The server refused this token. */
void vault_login_reject(struct vault_login *login, const struct secret *token);

/* principal, source and section for a slot. */
MUST_CHECK int vault_login_access(struct vault_login *login, struct text_pairs *access);

#endif
