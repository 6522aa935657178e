/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Azure provider share. */
#ifndef SNAPCRYPT_KMS_PROVIDERS_AZURE_INTERNAL_H
#define SNAPCRYPT_KMS_PROVIDERS_AZURE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "kms/credentials/azure_identity.h"
#include "kms/http.h"
#include "kms/outcome.h"
#include "kms/provider.h"
#include "kms/text.h"

#define AZURE_SERVICE      "Azure Key Vault"
#define AZURE_API          "api-version=7.4"
#define AZURE_HOST_SIZE    256
#define AZURE_NAME_SIZE    128
#define AZURE_VERSION_SIZE 65
/* RSA of 4096 bits. */
#define AZURE_BLOB_MAX     512

/* A key, as in https://HOST/keys/NAME/VERSION. */
struct azure_key {
	char host[AZURE_HOST_SIZE]; /* with a port where it is not 443 */
	char name[AZURE_NAME_SIZE];
	char version[AZURE_VERSION_SIZE]; /* empty: the newest */
};

struct azure {
	struct azure_key key;
	char algorithm[16];
	char base[512];                      /* where requests go: https://HOST, or the endpoint */
	char resource[AZURE_HOST_SIZE + 16]; /* what tokens are for */
	struct http *http;
	struct azure_identity *identity;
};

/* azurekv://VAULT/keys/NAME[/VERSION][?alg=A].  -EINVAL. */
MUST_CHECK int azure_parse_uri(const char *uri, struct azure_key *ret_key,
			       char algorithm[static 16], struct kms_error *reterr);

/* A kid of the service, or an Encryption Key ID.  -EBADMSG. */
MUST_CHECK int azure_parse_kid(const char *kid, struct azure_key *ret_key);

/* The canonical Encryption Key ID. */
void azure_format_kid(const struct azure_key *key, char key_id[static KEY_ID_SIZE]);

/* Are these versions of one key? */
bool azure_same_key(const struct azure_key *a, const struct azure_key *b);

/* What a token for this vault is for: https:// and the host without its first label. */
void azure_resource_of(const char *host, char *resource, size_t size);

/* Does a challenge ask for a token that may be shown to HOST?  `resource` is an URL, its host a domain above HOST. */
bool azure_resource_fits(const char *resource, const char *host);

/* Reply of wrapkey and unwrapkey: the kid, and value decoded.  -EBADMSG.  VALUE is wiped on failure. */
MUST_CHECK int azure_decode_operation(struct bytes body, struct azure_key *ret_kid,
				      uint8_t value[static AZURE_BLOB_MAX], size_t *ret_size);

/* Reply of a key's description.  -EBADMSG. */
MUST_CHECK int azure_decode_key(struct bytes body, struct kms_key_info *ret_info);

/* Reply about a deleted key that can still be recovered.  -EBADMSG. */
MUST_CHECK int azure_decode_deleted(struct bytes body, struct kms_key_info *ret_info);

/* A refusal into the error. */
MUST_CHECK int azure_fail(const struct request_name *name, const struct http_reply *reply,
			  struct kms_error *reterr);

/*
 * One request with a token; when the service refuses the token, once more with a new one.
 *
 *   path   from "/keys/" on, with its query
 *   body   NULL: a GET
 *
 * 0: the service said 200.
 */
MUST_CHECK int azure_request(struct azure *azure, const struct kms_call *call,
			     const struct request_name *name, const char *path,
			     const struct text *body, struct http_reply *reply,
			     struct kms_error *reterr);

/* What the service must grant. */
MUST_CHECK int azure_policy(const struct kms_config *config, enum kms_use use, struct text *text,
			    struct kms_error *reterr);

#endif
