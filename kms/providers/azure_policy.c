/* SPDX-License-Identifier: Apache-2.0 */
/* What Azure must grant: a role definition for `az role`, for a managed HSM one for `az keyvault role`. */
#include <string.h>

#include "kms/providers/azure_internal.h"

/* Members of a definition; a managed HSM has its own words for them, and its own scopes. */
struct words {
	const char *name;
	const char *description;
	const char *data_actions;
	const char *resource;
	const char *read;
	const char *rest;
};

static const struct words vault_words = {
	"Name",
	"Description",
	"DataActions",
	"Microsoft.KeyVault/vaults/keys/",
	"read",
	",\n  \"IsCustom\": true,\n  \"AssignableScopes\": [\"/subscriptions/SUBSCRIPTION\"]",
};
static const struct words hsm_words = {
	"roleName",    "description",
	"dataActions", "Microsoft.KeyVault/managedHsm/keys/",
	"read/action", "",
};

int azure_policy(const struct kms_config *config, enum kms_use use, struct text *text,
		 struct kms_error *reterr)
{
	const struct words *words = &vault_words;
	struct azure_key key;
	char algorithm[16];
	int r;

	r = azure_parse_uri(config->uri, &key, algorithm, reterr);
	if (r < 0)
		return r;
	if (strstr(key.host, ".managedhsm."))
		words = &hsm_words;
	text_add_format(text, "{\n  \"%s\": \"snapcrypt\",\n", words->name);
	text_add_format(text,
			"  \"%s\": \"Data keys of snapcrypt; assign it on /keys/%s of %s\",\n",
			words->description, key.name, key.host);
	text_add_format(text, "  \"%s\": [\n    \"%s%s\"", words->data_actions, words->resource,
			words->read);
	if (use != KMS_USE_MAKE)
		text_add_format(text, ",\n    \"%sunwrap/action\"", words->resource);
	if (use != KMS_USE_OPEN)
		text_add_format(text, ",\n    \"%swrap/action\"", words->resource);
	text_add_format(text, "\n  ]%s\n}\n", words->rest);
	return 0;
}
