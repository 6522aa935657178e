/* SPDX-License-Identifier: Apache-2.0 */
/* What is worth saying about the credentials that wrote a slot. */
#include <string.h>

#include "kms/kms.h"

const char *kms_access_notice(const struct slot *slot)
{
	const char *principal = text_pairs_get(&slot->access, "principal");

	/* Ids of keys that do not expire begin so; those of sessions begin with ASIA. */
	if (!strcmp(slot->provider, "aws") && principal && !strncmp(principal, "AKIA", 4))
		return "static user keys of AWS do not expire; prefer a role "
		       "(role_arn, an instance or container role)";
	return NULL;
}
