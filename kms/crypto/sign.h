/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 signatures: who wrote a record. */
#ifndef SNAPCRYPT_KMS_CRYPTO_SIGN_H
#define SNAPCRYPT_KMS_CRYPTO_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"

#define SIGN_PUBLIC_SIZE    32
#define SIGN_SIGNATURE_SIZE 64

/* A private key in secret memory.  Immutable; sign_message() may be called from several threads. */
struct sign_key;

/* -ENOMEM, -EIO. */
MUST_CHECK int sign_key_generate(struct sign_key **ret_key);

/* Make a key of its 32-byte seed, which is copied. */
MUST_CHECK int sign_key_import(struct bytes seed, struct sign_key **ret_key);

/*
 * Read a key file: PEM, PKCS #8, as sign_key_save() and "openssl genpkey -algorithm ed25519" write
 * it.
 *
 * -ENOENT; -EPERM: not a regular file, not this user's or root's, or open to others (group and
 * other must have no rights); -ELOOP: a symlink; -EBADMSG: not an Ed25519 key.
 */
MUST_CHECK int sign_key_load(const char *path, struct sign_key **ret_key);

/*
 * Write a key file, mode 0600, durable and whole or not at all.  -EEXIST: there is one already; it
 * is never replaced.
 */
MUST_CHECK int sign_key_save(const struct sign_key *key, const char *path);

void sign_key_free(struct sign_key *key);
void sign_key_cleanup(struct sign_key **key);

void sign_key_public(const struct sign_key *key, uint8_t public_key[static SIGN_PUBLIC_SIZE]);

MUST_CHECK int sign_message(const struct sign_key *key, struct bytes message,
			    uint8_t signature[static SIGN_SIGNATURE_SIZE]);

/* 0; -EBADMSG: not a signature of MESSAGE by that key. */
MUST_CHECK int sign_verify(const uint8_t public_key[static SIGN_PUBLIC_SIZE], struct bytes message,
			   const uint8_t signature[static SIGN_SIGNATURE_SIZE]);

#endif
