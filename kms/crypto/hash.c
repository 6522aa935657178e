/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256. */
#include "kms/crypto/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

static pthread_once_t digest_once = PTHREAD_ONCE_INIT;
static EVP_MD *digest_sha256;

static void fetch_digest(void)
{
	digest_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

int sha256(struct bytes data, uint8_t digest[static SHA256_SIZE])
{
	pthread_once(&digest_once, fetch_digest);
	return EVP_Digest(data.data, data.size, digest, NULL, digest_sha256, NULL) == 1 ? 0
											: -ENOMEM;
}

struct hash {
	EVP_MD_CTX *context;
};

static int begin(struct hash *hash)
{
	return EVP_DigestInit_ex2(hash->context, digest_sha256, NULL) == 1 ? 0 : -ENOMEM;
}

int hash_new(struct hash **ret_hash)
{
	CLEANUP(hash_cleanup) struct hash *hash = calloc(1, sizeof(*hash));

	pthread_once(&digest_once, fetch_digest);
	if (!hash)
		return -ENOMEM;
	hash->context = EVP_MD_CTX_new();
	if (!hash->context)
		return -ENOMEM;

	int r = begin(hash);

	if (r < 0)
		return r;
	*ret_hash = TAKE(hash);
	return 0;
}

int hash_update(struct hash *hash, struct bytes data)
{
	return EVP_DigestUpdate(hash->context, data.data, data.size) == 1 ? 0 : -EIO;
}

int hash_final(struct hash *hash, uint8_t digest[static SHA256_SIZE])
{
	return EVP_DigestFinal_ex(hash->context, digest, NULL) == 1 ? begin(hash) : -EIO;
}

void hash_free(struct hash *hash)
{
	if (!hash)
		return;
	EVP_MD_CTX_free(hash->context);
	free(hash);
}

void hash_cleanup(struct hash **hash)
{
	hash_free(*hash);
}
