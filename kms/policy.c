/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest policy that a service must grant to this host. */
#include "kms/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kms/text.h"

int kms_policy(const struct kms_config *config, enum kms_use use, char **ret_text,
	       struct kms_error *reterr)
{
	const struct kms_provider *provider = kms_provider_for_uri(config->uri);
	struct text text = { 0 };
	int r;

	if (!provider || !provider->policy)
		return kms_fail(reterr, -ENOTSUP, KEY_STATE_UNKNOWN,
				"%s: this key service has no policies to print", config->uri);
	r = provider->policy(config, use, &text, reterr);
	if (r == 0) {
		*ret_text = text_check(&text) == 0 ? strdup(text.data) : NULL;
		if (!*ret_text)
			r = kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	}
	text_free(&text);
	return r;
}
