/* SPDX-License-Identifier: Apache-2.0 */
/* URIs of KEKs and Encryption Key IDs, as commands take and show them. */
#ifndef SNAPCRYPT_FS_CMD_KEY_URI_H
#define SNAPCRYPT_FS_CMD_KEY_URI_H

#include <stdbool.h>

#include "meta/records/key_record.h"
#include "meta/uuid.h"

/* The key that a new keyring has. */
#define KEY_URI_DEFAULT_ID "default"

void key_uri_keyring_id(const struct uuid *keyring, const char *id,
			char key_id[static KEY_ID_SIZE]);

/*
 * PATH made absolute, its directory without links; the file itself need not exist.  free() it.
 * NULL and errno: its directory does not exist.
 */
char *key_uri_absolute_path(const char *path);

/* Is it a URI of a KEK (and not an Encryption Key ID)? */
bool key_uri_is_uri(const char *text);

#endif
