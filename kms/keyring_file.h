/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded local key store: one file, 0600, with several keys.  Format: kms/PROTOCOL.md, "keyring".
 *
 * It protects against whoever gets the backing storage, not against whoever gets this host: it is not customer key
 * management.  Every call reads the file anew, so that a key disabled by another process is disabled here too.
 * Thread-safe; changes take a lock between processes and replace the file atomically.
 */
#ifndef SNAPCRYPT_KMS_KEYRING_FILE_H
#define SNAPCRYPT_KMS_KEYRING_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kms/crypto/passphrase.h"
#include "kms/crypto/secret.h"
#include "kms/error.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define KEYRING_KEY_ID_SIZE 65 /* letters, digits, '.', '_', '-' */
#define KEYRING_KEYS_MAX    256

struct keyring_key {
	char id[KEYRING_KEY_ID_SIZE];
	enum key_state state; /* enabled, disabled, deleted */
	int64_t created_s;
	int64_t changed_s; /* when the state last changed */
};

struct keyring_info {
	struct uuid keyring;
	bool has_passphrase;
	size_t key_count;
	struct keyring_key keys[KEYRING_KEYS_MAX];
};

/*
 * Opens keyrings that have a passphrase.  `derived` remembers what was derived for `salt`, so that scrypt runs once; the
 * caller serialises calls that share one.  Zero-initialise, then set passphrase (borrowed; NULL: none).
 */
struct keyring_unlock {
	const struct secret *passphrase;
	struct secret *derived;
	uint8_t salt[PASSPHRASE_SALT_SIZE];
};
void keyring_unlock_wipe(struct keyring_unlock *unlock);

/* Create PATH with one enabled key ID, under a passphrase if UNLOCK has one.  -EEXIST. */
MUST_CHECK int keyring_file_init(const char *path, const char *id, struct keyring_unlock *unlock,
				 struct kms_error *reterr);

/* Add an enabled key.  -EEXIST; -ENOKEY: a passphrase is needed; -EKEYREJECTED: not this one. */
MUST_CHECK int keyring_file_add(const char *path, const char *id, struct keyring_unlock *unlock,
				struct kms_error *reterr);

/* Needs no passphrase. */
MUST_CHECK int keyring_file_list(const char *path, struct keyring_info *ret_info,
				 struct kms_error *reterr);

/* STATE: enabled, disabled, or deleted, which destroys the key and cannot be undone.  -ENOENT: no such key. */
MUST_CHECK int keyring_file_set_state(const char *path, const char *id, enum key_state state,
				      struct kms_error *reterr);

/* What keyring_file_key() finds besides the key. */
struct keyring_found {
	struct uuid keyring;
	struct keyring_key key;
};

/*
 * The key itself, 32 bytes, if it is enabled.  RET_KEY NULL: only look.
 * -EKEYREVOKED disabled, -ENOKEY deleted or unknown, -EHOSTUNREACH no such file, -EPERM open to others.
 */
MUST_CHECK int keyring_file_key(const char *path, const char *id, struct keyring_unlock *unlock,
				struct keyring_found *ret_found, struct secret **ret_key,
				struct kms_error *reterr);

#endif
