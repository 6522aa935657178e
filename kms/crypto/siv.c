/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-SIV without associated data.
 *
 * OpenSSL's SIV context serves one message: what it has digested stays in it.  Setting the key
 * again would expand it anew, so a template that has the key, and has seen no message, is copied
 * for each name.
 */
#include "kms/crypto/siv.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/key_pool.h"
#include "kms/crypto/secret.h"

/* POOL points to POOL_STORAGE: using a key changes nothing that a const one would show. */
struct siv_key {
	atomic_uint ref_count;
	EVP_CIPHER_CTX *template; /* NULL once revoked */
	struct key_pool *pool;
	struct key_pool pool_storage;
};

static pthread_once_t cipher_once = PTHREAD_ONCE_INIT;
static EVP_CIPHER *cipher_siv;

static void fetch_cipher(void)
{
	cipher_siv = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
}

int siv_key_import(struct bytes key_bytes, struct siv_key **ret_key)
{
	pthread_once(&cipher_once, fetch_cipher);
	if (!cipher_siv)
		return -ENOTSUP;
	if (key_bytes.size != SIV_KEY_SIZE)
		return -EINVAL;

	struct siv_key *key = calloc(1, sizeof(*key));

	if (!key)
		return -ENOMEM;
	key->template = EVP_CIPHER_CTX_new();
	if (!key->template ||
	    EVP_EncryptInit_ex(key->template, cipher_siv, NULL, key_bytes.data, NULL) != 1) {
		EVP_CIPHER_CTX_free(key->template);
		free(key);
		return -ENOMEM;
	}
	atomic_init(&key->ref_count, 1);
	key->pool = &key->pool_storage;
	key_pool_init(key->pool);
	*ret_key = key;
	return 0;
}

struct siv_key *siv_key_ref(struct siv_key *key)
{
	atomic_fetch_add_explicit(&key->ref_count, 1, memory_order_relaxed);
	return key;
}

void siv_key_free(struct siv_key *key)
{
	if (!key || atomic_fetch_sub_explicit(&key->ref_count, 1, memory_order_acq_rel) > 1)
		return;
	key_pool_destroy(key->pool);
	EVP_CIPHER_CTX_free(key->template);
	free(key);
}

void siv_key_cleanup(struct siv_key **key)
{
	siv_key_free(*key);
}

void siv_key_revoke(struct siv_key *key, int error)
{
	key_pool_revoke(key->pool, error);
	EVP_CIPHER_CTX_free(key->template);
	key->template = NULL;
}

/* A copy of the template, between key_pool_take() and key_pool_give().  NULL: no memory. */
static EVP_CIPHER_CTX *copy_template(const struct siv_key *key)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

	if (context && EVP_CIPHER_CTX_copy(context, key->template) != 1) {
		EVP_CIPHER_CTX_free(context);
		return NULL;
	}
	return context;
}

static bool seal_message(EVP_CIPHER_CTX *context, struct bytes plain, uint8_t *sealed)
{
	int size;
	int none;

	return EVP_EncryptUpdate(context, sealed + SIV_OVERHEAD, &size, plain.data,
				 (int)plain.size) == 1 &&
	       (size_t)size == plain.size && EVP_EncryptFinal_ex(context, sealed, &none) == 1 &&
	       EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SIV_OVERHEAD, sealed) == 1;
}

int siv_seal(const struct siv_key *key, struct bytes plain, uint8_t *sealed)
{
	if (plain.size == 0 || plain.size > SIV_PLAIN_MAX)
		return -EINVAL;

	int r = key_pool_take(key->pool, NULL);

	if (r < 0)
		return r;

	EVP_CIPHER_CTX *context = copy_template(key);

	r = context && seal_message(context, plain, sealed) ? 0 : -ENOMEM;
	EVP_CIPHER_CTX_free(context);
	key_pool_give(key->pool, NULL);
	return r;
}

/* 0, -EBADMSG or -ENOMEM. */
static int open_message(EVP_CIPHER_CTX *context, struct bytes sealed, uint8_t *plain)
{
	struct bytes ciphertext = { sealed.data + SIV_OVERHEAD, sealed.size - SIV_OVERHEAD };
	uint8_t iv[SIV_OVERHEAD];
	int size;
	int none;

	memcpy(iv, sealed.data, sizeof(iv));
	if (EVP_DecryptInit_ex(context, NULL, NULL, NULL, NULL) != 1 ||
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof(iv), iv) != 1)
		return -ENOMEM;

	/* The update decrypts, computes the synthetic IV of what it got, and compares. */
	if (EVP_DecryptUpdate(context, plain, &size, ciphertext.data, (int)ciphertext.size) != 1 ||
	    (size_t)size != ciphertext.size || EVP_DecryptFinal_ex(context, iv, &none) != 1)
		return -EBADMSG;
	return 0;
}

int siv_open(const struct siv_key *key, struct bytes sealed, uint8_t *plain)
{
	if (sealed.size <= SIV_OVERHEAD || sealed.size > SIV_OVERHEAD + SIV_PLAIN_MAX)
		return -EBADMSG;

	int r = key_pool_take(key->pool, NULL);

	if (r == 0) {
		EVP_CIPHER_CTX *context = copy_template(key);

		r = context ? open_message(context, sealed, plain) : -ENOMEM;
		EVP_CIPHER_CTX_free(context);
		key_pool_give(key->pool, NULL);
	}
	if (r < 0)
		secret_wipe(plain, sealed.size - SIV_OVERHEAD);
	return r;
}
