/* SPDX-License-Identifier: Apache-2.0 */
/* As whom this host asks Azure: client secret, client certificate, workload identity, managed identity.  Thread-safe. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_AZURE_IDENTITY_H
#define SNAPCRYPT_KMS_CREDENTIALS_AZURE_IDENTITY_H

#include "kms/crypto/secret.h"
#include "kms/http.h"
#include "kms/provider.h"
#include "meta/macros.h"

struct azure_identity;

/*
 * Choose the source from the setting `auth`; without it from what the section, then the environment holds, in the order above.
 * No network.
 *
 *   http       borrowed until azure_identity_close()
 *   resource   what tokens are for: https://vault.azure.net
 */
MUST_CHECK int azure_identity_open(const struct kms_config *config, struct http *http,
				   const char *resource, struct azure_identity **ret_identity,
				   struct kms_error *reterr);

/* Accepts NULL. */
void azure_identity_close(struct azure_identity *identity);

/* A token, from memory or from a login.  -EKEYEXPIRED (state credentials-expired), or what the exchange returned. */
MUST_CHECK int azure_identity_token(struct azure_identity *identity, const struct kms_call *call,
				    struct secret **ret_token, struct kms_error *reterr);

/* The service refused this token. */
void azure_identity_reject(struct azure_identity *identity, const struct secret *token);

/* principal, source and section for a slot. */
MUST_CHECK int azure_identity_access(const struct azure_identity *identity,
				     struct text_pairs *access);

#endif
