/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a keyring file: kms/PROTOCOL.md, "keyring".  For keyring_file.c. */
#ifndef SNAPCRYPT_KMS_KEYRING_JSON_H
#define SNAPCRYPT_KMS_KEYRING_JSON_H

#include "kms/keyring_file.h"
#include "meta/bytes.h"

#define KEYRING_STORED_MAX 60 /* nonce | 32 | tag under a passphrase; 32 in clear without */

struct keyring_stored_key {
	struct keyring_key key;
	size_t size; /* 0: deleted */
	uint8_t stored[KEYRING_STORED_MAX];
};

/* A keyring file in memory.  Lives in secret memory: keyring_contents_new(). */
struct keyring_contents {
	struct uuid keyring;
	bool has_passphrase;
	struct passphrase_cost cost;
	uint8_t salt[PASSPHRASE_SALT_SIZE];
	size_t key_count;
	struct keyring_stored_key keys[KEYRING_KEYS_MAX];
};

/* Zeroed; secret_free().  NULL: out of memory. */
struct keyring_contents *keyring_contents_new(void);
void keyring_contents_cleanup(struct keyring_contents **contents);

/* -EBADMSG: malformed.  -ENOTSUP: a format that this version does not know. */
MUST_CHECK int keyring_json_decode(struct bytes text, struct keyring_contents *contents);

/* Text with its final newline, in secret memory. */
MUST_CHECK int keyring_json_encode(const struct keyring_contents *contents,
				   struct secret **ret_text);

#endif
