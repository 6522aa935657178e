/* SPDX-License-Identifier: Apache-2.0 */
/* What an AEAD key consists of; for aead*.c only. */
#ifndef SNAPCRYPT_KMS_CRYPTO_AEAD_KEY_H
#define SNAPCRYPT_KMS_CRYPTO_AEAD_KEY_H

#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdint.h>

#include "kms/crypto/aead.h"
#include "kms/crypto/key_pool.h"
#include "meta/macros.h"

struct aead_family;

/*
 * POOL points to POOL_STORAGE: using a key changes nothing that a const one would show.  FAMILY may
 * be NULL; NEXT and PREVIOUS belong to it.
 */
struct aead_key {
	atomic_uint ref_count;
	const EVP_CIPHER *cipher;
	uint8_t *bytes; /* secret memory; NULL once revoked */
	struct key_pool *pool;
	struct key_pool pool_storage;
	struct aead_family *family;
	struct aead_key *next;
	struct aead_key *previous;
};

/* A context with the key in it, for sealing and opening; its nonce is set per message.  -ENOMEM. */
MUST_CHECK int aead_key_take(const struct aead_key *key, EVP_CIPHER_CTX **ret_context);

/* Revoke one key: see aead_family_revoke(). */
void aead_key_revoke(struct aead_key *key, int error);

/* Take KEY, which nobody owns any more, out of its family. */
void aead_family_remove(struct aead_key *key);

#endif
