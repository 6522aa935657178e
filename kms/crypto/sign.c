/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 signatures; key files are in sign_file.c. */
#include "kms/crypto/sign.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/random.h"
#include "kms/crypto/secret.h"
#include "kms/crypto/sign_seed.h"

struct sign_key {
	uint8_t *seed;         /* secret memory */
	EVP_PKEY *private_key; /* OpenSSL keeps its copy on the secure heap, too */
	uint8_t public_key[SIGN_PUBLIC_SIZE];
};

int sign_key_import(struct bytes seed, struct sign_key **ret_key)
{
	size_t public_size = SIGN_PUBLIC_SIZE;

	if (seed.size != SIGN_SEED_SIZE)
		return -EINVAL;

	CLEANUP(sign_key_cleanup) struct sign_key *key = calloc(1, sizeof(*key));

	if (!key)
		return -ENOMEM;
	key->seed = secret_alloc(SIGN_SEED_SIZE);
	if (!key->seed)
		return -ENOMEM;
	memcpy(key->seed, seed.data, SIGN_SEED_SIZE);
	key->private_key = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, key->seed,
							   SIGN_SEED_SIZE);
	if (!key->private_key ||
	    EVP_PKEY_get_raw_public_key(key->private_key, key->public_key, &public_size) != 1)
		return -ENOMEM;
	*ret_key = TAKE(key);
	return 0;
}

int sign_key_generate(struct sign_key **ret_key)
{
	CLEANUP(secret_free_cleanup) uint8_t *seed = secret_alloc(SIGN_SEED_SIZE);

	if (!seed)
		return -ENOMEM;

	int r = random_fill(seed, SIGN_SEED_SIZE);

	return r < 0 ? r : sign_key_import((struct bytes){ seed, SIGN_SEED_SIZE }, ret_key);
}

void sign_key_free(struct sign_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->private_key);
	secret_free(key->seed);
	free(key);
}

void sign_key_cleanup(struct sign_key **key)
{
	sign_key_free(*key);
}

struct bytes sign_key_seed(const struct sign_key *key)
{
	return (struct bytes){ key->seed, SIGN_SEED_SIZE };
}

void sign_key_public(const struct sign_key *key, uint8_t public_key[static SIGN_PUBLIC_SIZE])
{
	memcpy(public_key, key->public_key, SIGN_PUBLIC_SIZE);
}

int sign_message(const struct sign_key *key, struct bytes message,
		 uint8_t signature[static SIGN_SIGNATURE_SIZE])
{
	size_t size = SIGN_SIGNATURE_SIZE;
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	if (!context)
		return -ENOMEM;

	bool is_done = EVP_DigestSignInit_ex(context, NULL, NULL, NULL, NULL, key->private_key,
					     NULL) == 1 &&
		       EVP_DigestSign(context, signature, &size, message.data, message.size) == 1 &&
		       size == SIGN_SIGNATURE_SIZE;

	EVP_MD_CTX_free(context);
	return is_done ? 0 : -EIO;
}

int sign_verify(const uint8_t public_key[static SIGN_PUBLIC_SIZE], struct bytes message,
		const uint8_t signature[static SIGN_SIGNATURE_SIZE])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, public_key,
						       SIGN_PUBLIC_SIZE);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int r = -ENOMEM;

	if (key && context &&
	    EVP_DigestVerifyInit_ex(context, NULL, NULL, NULL, NULL, key, NULL) == 1)
		r = EVP_DigestVerify(context, signature, SIGN_SIGNATURE_SIZE, message.data,
				     message.size) == 1
			    ? 0
			    : -EBADMSG;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return r;
}
