/* SPDX-License-Identifier: Apache-2.0 */
/* The passphrase of an embedded keyring, for commands: configured, in the environment, or asked for. */
#ifndef SNAPCRYPT_KMS_KEYRING_PASSPHRASE_H
#define SNAPCRYPT_KMS_KEYRING_PASSPHRASE_H

#include "kms/keyring_file.h"
#include "kms/provider.h"
#include "meta/macros.h"

enum keyring_ask {
	KEYRING_ASK_NEVER,
	KEYRING_ASK,     /* on the terminal, if nothing else names it */
	KEYRING_ASK_NEW, /* likewise, twice */
};

/* An unlock that owns its passphrase.  Zero-initialise. */
struct keyring_access {
	struct keyring_unlock unlock;
	struct secret *passphrase;
};

/*
 * Find the passphrase.  CONFIG: the [key] section of the keyring, or one without settings.
 * -ENOENT: none, and nobody to ask; -EINVAL: the two that were typed differ, or it is empty.
 */
MUST_CHECK int keyring_access_open(const struct kms_config *config, enum keyring_ask ask,
				   struct keyring_access *ret_access, struct kms_error *reterr);
void keyring_access_close(struct keyring_access *access);

#endif
