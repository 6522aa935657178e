/* SPDX-License-Identifier: Apache-2.0 */
/* The key services that are built in. */
#include "kms/provider.h"

#include <string.h>

#include "kms/providers/providers.h"

const struct kms_provider *const kms_providers[] = {
	&provider_aws,     &provider_azure,    &provider_gcp,
	&provider_vault,   &provider_kmip,     &provider_pkcs11,
	&provider_keyring, &provider_recovery, NULL,
};

const char *kms_config_get(const struct kms_config *config, const char *name)
{
	for (size_t i = 0; i < config->setting_count; i++)
		if (!strcmp(config->settings[i].name, name))
			return config->settings[i].value;
	return NULL;
}

static bool uri_has_scheme(const char *uri, const char *scheme)
{
	size_t len = strlen(scheme);

	return !strncmp(uri, scheme, len) && uri[len] == ':';
}

const struct kms_provider *kms_provider_for_uri(const char *uri)
{
	for (size_t i = 0; kms_providers[i]; i++)
		for (size_t k = 0; kms_providers[i]->schemes[k]; k++)
			if (uri_has_scheme(uri, kms_providers[i]->schemes[k]))
				return kms_providers[i];
	return NULL;
}

const struct kms_provider *kms_provider_by_name(const char *name)
{
	for (size_t i = 0; kms_providers[i]; i++)
		if (!strcmp(kms_providers[i]->name, name))
			return kms_providers[i];
	return NULL;
}
