/* SPDX-License-Identifier: Apache-2.0 */
/* What Vault must grant. */
#include "kms/providers/vault_internal.h"

int vault_policy(const struct kms_config *config, enum kms_use use, struct text *text,
		 struct kms_error *reterr)
{
	static const char rule[] = "path \"%s/%s/%s\" {\n  capabilities = [\"%s\"]\n}\n";
	struct vault_uri uri;
	int r;

	r = vault_parse_uri(config->uri, &uri, reterr);
	if (r < 0)
		return r;
	text_add_format(text, rule, uri.mount, "keys", uri.key, "read");
	/* Not create: whoever may create can make a key by a typing error. */
	if (use != KMS_USE_OPEN)
		text_add_format(text, rule, uri.mount, "encrypt", uri.key, "update");
	if (use != KMS_USE_MAKE)
		text_add_format(text, rule, uri.mount, "decrypt", uri.key, "update");
	return 0;
}
