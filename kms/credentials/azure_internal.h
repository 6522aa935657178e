/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of Azure's credentials share. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_AZURE_INTERNAL_H
#define SNAPCRYPT_KMS_CREDENTIALS_AZURE_INTERNAL_H

#include "kms/config_copy.h"
#include "kms/credentials/azure_identity.h"
#include "kms/credentials/oauth.h"

struct azure_source;

struct azure_identity {
	const struct azure_source *source;
	struct kms_config *config; /* own copy: secrets are read anew at every login */
	struct http *http;
	char *resource;
	struct token_cache *cache;
};

/* How to get a token.  `check` says at open() what is missing. */
struct azure_source {
	const char *name;
	int (*check)(const struct azure_identity *identity, struct kms_error *reterr);
	token_fetch *fetch;
};

extern const struct azure_source azure_client_secret;
extern const struct azure_source azure_client_certificate;
extern const struct azure_source azure_workload_identity;
extern const struct azure_source azure_managed_identity;

/* A setting, or the vendor's variable for it; NULL: neither. */
const char *azure_value(const struct azure_identity *identity, const char *setting,
			const char *variable);

#endif
