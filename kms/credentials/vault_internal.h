/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of Vault's credentials share. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_VAULT_INTERNAL_H
#define SNAPCRYPT_KMS_CREDENTIALS_VAULT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "kms/config_copy.h"
#include "kms/credentials/token.h"
#include "kms/credentials/vault_login.h"
#include "kms/outcome.h"
#include "kms/text.h"

#define VAULT_PRINCIPAL_SIZE 128

/* What a login, a renewal or a look-up says about a token.  lease_s 0: it does not end. */
struct vault_grant {
	struct secret *token; /* NULL after a look-up */
	int64_t lease_s;
	bool is_renewable;
	char accessor[VAULT_PRINCIPAL_SIZE];
};

struct vault_method;

struct vault_login {
	const struct vault_method *method;
	struct kms_config *config;
	struct vault_server server;
	struct token_cache *cache;
	atomic_bool must_log_in; /* the server refused the token */
	pthread_mutex_t lock;    /* guards principal */
	char principal[VAULT_PRINCIPAL_SIZE];
	/* Only touched by the one thread that fetches. */
	struct vault_grant grant;
	int64_t lease_s; /* of the last renewal, or of the login */
};

/* How to get a token. */
struct vault_method {
	const char *name;
	const char *mount;
	/* What is missing in the configuration; NULL: nothing can be. */
	int (*check)(const struct vault_login *login, struct kms_error *reterr);
	int (*log_in)(struct vault_login *login, const struct kms_call *call,
		      struct vault_grant *ret_grant, struct kms_error *reterr);
};

extern const struct vault_method vault_token_method;
extern const struct vault_method vault_approle_method;
extern const struct vault_method vault_kubernetes_method;
extern const struct vault_method vault_certificate_method;

/* Reply of a login or of renew-self ("auth"), or of lookup-self ("data").  -EBADMSG. */
MUST_CHECK int vault_decode_auth(struct bytes body, struct vault_grant *ret_grant);
MUST_CHECK int vault_decode_lookup(struct bytes body, struct vault_grant *ret_grant);

/*
 * POST BODY (NULL: GET) to PATH below /v1/, with TOKEN unless it is NULL, and decode what it grants.
 * -EKEYEXPIRED: refused.
 */
MUST_CHECK int vault_auth_request(struct vault_login *login, const struct kms_call *call,
				  const char *path, const struct text *body,
				  const struct secret *token,
				  int (*decode)(struct bytes body, struct vault_grant *ret_grant),
				  struct vault_grant *ret_grant, struct kms_error *reterr);

void vault_set_principal(struct vault_login *login, const char *principal);

#endif
