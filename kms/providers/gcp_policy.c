/* SPDX-License-Identifier: Apache-2.0 */
/* What Google Cloud must grant. */
#include "kms/providers/gcp_internal.h"

int gcp_policy(const struct kms_config *config, enum kms_use use, struct text *text,
	       struct kms_error *reterr)
{
	char key[KEY_ID_SIZE];
	int r;

	r = gcp_parse_uri(config->uri, key, reterr);
	if (r < 0)
		return r;
	text_add_format(text, "# A custom role, bound on %s\n", key);
	text_add(text, "title: snapcrypt\nstage: GA\nincludedPermissions:\n");
	if (use != KMS_USE_OPEN)
		text_add(text, "- cloudkms.cryptoKeyVersions.useToEncrypt\n");
	if (use != KMS_USE_MAKE)
		text_add(text, "- cloudkms.cryptoKeyVersions.useToDecrypt\n"
			       "- cloudkms.cryptoKeyVersions.get\n");
	text_add(text, "- cloudkms.cryptoKeys.get\n");
	return 0;
}
