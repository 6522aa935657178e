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
	bool is_write_only;
	char *text;
};

static int make(void *arg, const struct kms_config *kms_config, struct kms_error *reterr)
{
	struct wanted *wanted = arg;

	return kms_policy(kms_config, wanted->is_write_only, &wanted->text, reterr);
}

int keys_print_policy(struct session *session, const char *uri)
{
	const struct config *config = session->access.config;
	const char *role = config_text(config, session->access.volume_name, "role");
	struct wanted wanted = { .is_write_only = role != NULL && strcmp(role, "write-only") == 0 };
	struct kms_error error = { 0 };

	if (access_with_key(config, uri, make, &wanted, &error) < 0)
		return fail(session->invocation, EXIT_USAGE, "%s", error.text);
	fputs(wanted.text, stdout);
	free(wanted.text);
	return 0;
}
