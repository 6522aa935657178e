/* SPDX-License-Identifier: Apache-2.0 */
/* As whom this host asks Google Cloud: service account, external account, metadata server, a user's own login.  Thread-safe. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_GCP_IDENTITY_H
#define SNAPCRYPT_KMS_CREDENTIALS_GCP_IDENTITY_H

#include "kms/crypto/secret.h"
#include "kms/http.h"
#include "kms/provider.h"
#include "meta/macros.h"

struct gcp_identity;

/*
 * Find the credentials: setting credentials_file, GOOGLE_APPLICATION_CREDENTIALS, the file of gcloud, the metadata server.  No
 * network.  HTTP is borrowed until gcp_identity_close().
 */
MUST_CHECK int gcp_identity_open(const struct kms_config *config, struct http *http,
				 struct gcp_identity **ret_identity, struct kms_error *reterr);

/* Accepts NULL. */
void gcp_identity_close(struct gcp_identity *identity);

/* A token, from memory or from a login.  -EKEYEXPIRED (state credentials-expired), or what the exchange returned. */
MUST_CHECK int gcp_identity_token(struct gcp_identity *identity, const struct kms_call *call,
				  struct secret **ret_token, struct kms_error *reterr);

/* The service refused this token. */
void gcp_identity_reject(struct gcp_identity *identity, const struct secret *token);

/* principal, source and section for a slot. */
MUST_CHECK int gcp_identity_access(struct gcp_identity *identity, struct text_pairs *access);

/* Project that a user's requests are counted to, or NULL. */
const char *gcp_identity_quota_project(const struct gcp_identity *identity);

#endif
