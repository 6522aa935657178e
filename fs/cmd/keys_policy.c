/* SPDX-License-Identifier: Apache-2.0 */
/* keys test --print-policy: what a key service must grant to this host. */
#include "fs/cmd/keys_policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/access.h"
#include "kms/policy.h"

struct wanted {
	enum kms_use use;
	char *text;
};

static int make(void *arg, const struct kms_config *kms_config, struct kms_error *reterr)
{
	struct wanted *wanted = arg;

	return kms_policy(kms_config, wanted->use, &wanted->text, reterr);
}

/* The role of this host as configured, or another that was asked for: a host that only restores needs no configuration. */
static int take_role(const char *role, enum kms_use *ret_use)
{
	static const struct {
		const char *name;
		enum kms_use use;
	} roles[] = {
		{ "read-write", KMS_USE_BOTH },
		{ "write-only", KMS_USE_MAKE },
		{ "restore-only", KMS_USE_OPEN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		if (strcmp(role, roles[i].name) != 0)
			continue;
		*ret_use = roles[i].use;
		return 0;
	}
	return -EINVAL;
}

int keys_print_policy(struct session *session, const char *uri, const char *asked_role)
{
	const struct config *config = session->access.config;
	const char *role = asked_role != NULL
				   ? asked_role
				   : config_text(config, session->access.volume_name, "role");
	struct wanted wanted = { 0 };
	struct kms_error error = { 0 };

	if (role != NULL && take_role(role, &wanted.use) < 0)
		return fail(session->invocation, EXIT_USAGE,
			    "--role: %s is not read-write, write-only or restore-only", role);
	if (access_with_key(config, uri, make, &wanted, &error) < 0)
		return fail(session->invocation, EXIT_USAGE, "%s", error.text);
	fputs(wanted.text, stdout);
	free(wanted.text);
	return 0;
}
