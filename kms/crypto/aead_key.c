/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of an AEAD key.
 *
 * Keys come and go with files, so making one must be cheap: ciphers are fetched from the provider
 * once per process (a fetch takes a global lock), and the key schedule is computed at the first
 * message.
 */
#include "kms/crypto/aead_key.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/secret.h"

static pthread_once_t ciphers_once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *cipher_gcm;
static EVP_CIPHER *cipher_chacha;

static void fetch_ciphers(void)
{
	cipher_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	cipher_chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
}

/* NULL: unknown, or not offered by this OpenSSL (ChaCha20-Poly1305 in FIPS mode). */
static const EVP_CIPHER *cipher_for(enum aead_algorithm algorithm)
{
	pthread_once(&ciphers_once, fetch_ciphers);
	switch (algorithm) {
	case AEAD_AES_256_GCM:
		return cipher_gcm;
	case AEAD_CHACHA20_POLY1305:
		return cipher_chacha;
	default:
		return NULL;
	}
}

int aead_key_import(enum aead_algorithm algorithm, struct bytes key_bytes,
		    struct aead_key **ret_key)
{
	const EVP_CIPHER *cipher = cipher_for(algorithm);

	if (!cipher)
		return -ENOTSUP;
	if (key_bytes.size != AEAD_KEY_SIZE)
		return -EINVAL;

	CLEANUP(secret_free_cleanup) uint8_t *bytes = secret_alloc(AEAD_KEY_SIZE);
	struct aead_key *key = bytes ? calloc(1, sizeof(*key)) : NULL;

	if (!key)
		return -ENOMEM;
	memcpy(bytes, key_bytes.data, AEAD_KEY_SIZE);
	atomic_init(&key->ref_count, 1);
	key->cipher = cipher;
	key->bytes = TAKE(bytes);
	key->pool = &key->pool_storage;
	key_pool_init(key->pool);
	*ret_key = key;
	return 0;
}

struct aead_key *aead_key_ref(struct aead_key *key)
{
	atomic_fetch_add_explicit(&key->ref_count, 1, memory_order_relaxed);
	return key;
}

void aead_key_free(struct aead_key *key)
{
	if (!key || atomic_fetch_sub_explicit(&key->ref_count, 1, memory_order_acq_rel) > 1)
		return;
	if (key->family)
		aead_family_remove(key);
	key_pool_destroy(key->pool);
	secret_free(key->bytes);
	free(key);
}

void aead_key_cleanup(struct aead_key **key)
{
	aead_key_free(*key);
}

int aead_key_take(const struct aead_key *key, EVP_CIPHER_CTX **ret_context)
{
	EVP_CIPHER_CTX *context;
	int r = key_pool_take(key->pool, &context);

	if (r < 0)
		return r;
	if (!context) {
		context = EVP_CIPHER_CTX_new();

		/* One context serves both directions: each message names its own. */
		if (!context ||
		    EVP_EncryptInit_ex(context, key->cipher, NULL, key->bytes, NULL) != 1) {
			EVP_CIPHER_CTX_free(context);
			key_pool_give(key->pool, NULL);
			return -ENOMEM;
		}
	}
	*ret_context = context;
	return 0;
}

void aead_key_revoke(struct aead_key *key, int error)
{
	key_pool_revoke(key->pool, error);
	secret_free(key->bytes);
	key->bytes = NULL;
}
