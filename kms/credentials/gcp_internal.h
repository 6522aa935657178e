/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of Google's credentials share. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_GCP_INTERNAL_H
#define SNAPCRYPT_KMS_CREDENTIALS_GCP_INTERNAL_H

#include <pthread.h>

#include "kms/config_copy.h"
#include "kms/credentials/gcp_identity.h"
#include "kms/credentials/oauth.h"
#include "kms/json_reader.h"

#define GCP_SCOPE      "https://www.googleapis.com/auth/cloudkms"
#define GCP_SCOPE_IAM  "https://www.googleapis.com/auth/cloud-platform"
#define GCP_TOKEN_URL  "https://oauth2.googleapis.com/token"
#define PRINCIPAL_SIZE 256

struct gcp_source;

struct gcp_identity {
	const struct gcp_source *source;
	struct kms_config *config;
	struct http *http;
	char *path; /* credentials file, read anew at every login; NULL: metadata server */
	char quota_project[64];
	struct token_cache *cache;
	pthread_mutex_t lock; /* guards principal */
	char principal[PRINCIPAL_SIZE];
};

/*
 * One kind of credentials.
 *
 *   type        "type" in the credentials file; NULL: the metadata server
 *   is_secret   the file must be closed to others
 *   principal   who that is, from the file; NULL: not known before the login
 *   log_in      FILE is the credentials file, NULL for the metadata server; SCOPE what the token is for
 */
struct gcp_source {
	const char *name;
	const char *type;
	bool is_secret;
	const char *(*principal)(const struct json_reader *file);
	int (*log_in)(struct gcp_identity *identity, const struct kms_call *call,
		      const struct json_reader *file, const char *scope, struct token *ret_token,
		      struct kms_error *reterr);
};

extern const struct gcp_source gcp_service_account;
extern const struct gcp_source gcp_external_account;
extern const struct gcp_source gcp_authorized_user;
extern const struct gcp_source gcp_metadata;

/* Exchange a token for one of another service account.  URL: ...:generateAccessToken. */
MUST_CHECK int gcp_impersonate(struct gcp_identity *identity, const struct kms_call *call,
			       const char *url, const struct secret *token, struct token *ret_token,
			       struct kms_error *reterr);

/* Remember who this is. */
void gcp_set_principal(struct gcp_identity *identity, const char *principal);

/* A member of the credentials file that must be there. */
MUST_CHECK int gcp_required(const struct gcp_identity *identity, const struct json_reader *file,
			    const char *path, const char **ret_text, struct kms_error *reterr);

/* Google's metadata service and STS keep a token until shortly before its end: ask then, not earlier. */
void gcp_set_renewal(struct token *token);

#endif
