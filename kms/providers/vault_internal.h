/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Vault provider share. */
#ifndef SNAPCRYPT_KMS_PROVIDERS_VAULT_INTERNAL_H
#define SNAPCRYPT_KMS_PROVIDERS_VAULT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kms/credentials/vault_login.h"
#include "kms/http.h"
#include "kms/outcome.h"
#include "kms/provider.h"
#include "kms/text.h"

#define VAULT_SERVICE     "Vault"
#define VAULT_SERVER_SIZE 200
#define VAULT_PATH_SIZE   128

/* What a URI says. */
struct vault_uri {
	char server[VAULT_SERVER_SIZE]; /* HOST:PORT; empty: VAULT_ADDR names it */
	char mount[VAULT_PATH_SIZE];
	char key[VAULT_PATH_SIZE];
	char namespace[VAULT_PATH_SIZE]; /* empty: none */
	char auth[32];                   /* empty: not said */
};

struct vault {
	struct vault_uri uri;
	char server[VAULT_SERVER_SIZE]; /* word for the server in Encryption Key IDs */
	char base[512];
	struct http *http;
	struct vault_login *login;
	pthread_mutex_t lock;   /* guards known_until_ms */
	int64_t known_until_ms; /* until then the key is known to exist */
	atomic_llong oldest_version;
};

/* Description of a key. */
struct vault_key {
	bool is_bindable; /* its type takes associated data */
	bool is_derived;
	int64_t latest_version;
	struct kms_key_info info;
};

/* vault://HOST:PORT/MOUNT/KEY[?namespace=N&auth=A].  -EINVAL. */
MUST_CHECK int vault_parse_uri(const char *uri, struct vault_uri *ret_uri,
			       struct kms_error *reterr);

/* HOST:PORT of an address (https://HOST:PORT/).  -EINVAL. */
MUST_CHECK int vault_parse_address(const char *address, char server[static VAULT_SERVER_SIZE]);

/* The version in "vault:vN:BASE64"; 0: not of that form. */
int64_t vault_ciphertext_version(struct bytes ciphertext);

/* Reply of encrypt: the ciphertext.  -EBADMSG. */
MUST_CHECK int vault_decode_encrypt(struct bytes body, uint8_t wrapped[static SLOT_WRAPPED_MAX],
				    size_t *ret_size);

/* Reply of decrypt into PLAIN, wiped on failure.  -EBADMSG. */
MUST_CHECK int vault_decode_decrypt(struct bytes body, uint8_t plain[static SLOT_SECRET_SIZE]);

/* Reply about a key.  -EBADMSG. */
MUST_CHECK int vault_decode_key(struct bytes body, struct vault_key *ret_key);

/* Reply of capabilities-self: may the path be created?  -EBADMSG. */
MUST_CHECK int vault_decode_capabilities(struct bytes body, bool *ret_may_create);

/* request_id of a reply; empty: none. */
void vault_decode_request_id(struct bytes body, char *id, size_t size);

/* A refusal into the error. */
MUST_CHECK int vault_fail(const struct request_name *name, const struct http_reply *reply,
			  struct kms_error *reterr);

/*
 * One request with a token; when the server refuses it, once more after a new login.
 *
 *   path   below /v1/
 *   body   NULL: a GET
 *
 * 0: the server said 200.
 */
MUST_CHECK int vault_request(struct vault *vault, const struct kms_call *call,
			     const struct request_name *name, const char *path,
			     const struct text *body, struct http_reply *reply,
			     struct kms_error *reterr);

/*
 * Vault makes a key that it does not know when something is encrypted with it, if the policy lets it: a typing error would give a
 * key that nobody guards.  So before it is used, the key must be seen, or this token be unable to make one.
 */
MUST_CHECK int vault_ensure_key(struct vault *vault, const struct kms_call *call,
				struct kms_error *reterr);

/* GET the key. */
MUST_CHECK int vault_read_key(struct vault *vault, const struct kms_call *call,
			      struct vault_key *ret_key, struct kms_error *reterr);

/* MOUNT/KEY, for messages and paths. */
void vault_format_path(const struct vault *vault, const char *operation, char *path, size_t size);

/* What the service must grant. */
MUST_CHECK int vault_policy(const struct kms_config *config, enum kms_use use, struct text *text,
			    struct kms_error *reterr);

#endif
