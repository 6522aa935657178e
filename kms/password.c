/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords as text. */
#include "kms/password.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/secret_source.h"

int password_read(const struct kms_config *config, const char *name, char **ret_password,
		  struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	char *password;
	int r = secret_source_read(config, name, &secret, reterr);

	if (r < 0)
		return r;
	if (memchr(secret_data(secret), '\0', secret_bytes(secret).size))
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "%s: it holds a NUL byte",
				name);
	password = calloc(1, secret_bytes(secret).size + 1);
	if (!password)
		return -ENOMEM;
	memcpy(password, secret_data(secret), secret_bytes(secret).size);
	*ret_password = password;
	return 0;
}

void password_free(char *password)
{
	if (!password)
		return;
	explicit_bzero(password, strlen(password));
	free(password);
}
