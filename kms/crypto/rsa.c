/* SPDX-License-Identifier: Apache-2.0 */
/* RSA-OAEP and RSA signatures with SHA-256. */
#include "kms/crypto/rsa.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/hash.h"

#define BITS_MIN 2048
#define BITS_MAX 8192

struct rsa_key {
	EVP_PKEY *pkey;
};

static void bio_cleanup(BIO **bio)
{
	BIO_free(*bio);
}

static void context_cleanup(EVP_PKEY_CTX **context)
{
	EVP_PKEY_CTX_free(*context);
}

static int key_new(EVP_PKEY *pkey, struct rsa_key **ret_key)
{
	struct rsa_key *key;

	if (!EVP_PKEY_is_a(pkey, "RSA") || EVP_PKEY_get_bits(pkey) < BITS_MIN ||
	    EVP_PKEY_get_bits(pkey) > BITS_MAX) {
		EVP_PKEY_free(pkey);
		return -EBADMSG;
	}
	key = malloc(sizeof(*key));
	if (!key) {
		EVP_PKEY_free(pkey);
		return -ENOMEM;
	}
	key->pkey = pkey;
	*ret_key = key;
	return 0;
}

static EVP_PKEY *read_certificate_key(struct bytes pem)
{
	CLEANUP(bio_cleanup) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	EVP_PKEY *pkey = certificate ? X509_get_pubkey(certificate) : NULL;

	X509_free(certificate);
	return pkey;
}

int rsa_public_from_pem(struct bytes pem, struct rsa_key **ret_key)
{
	CLEANUP(bio_cleanup) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	EVP_PKEY *pkey;

	if (!bio)
		return -ENOMEM;
	pkey = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	if (!pkey)
		pkey = read_certificate_key(pem);
	return pkey ? key_new(pkey, ret_key) : -EBADMSG;
}

static int give_passphrase(char *buffer, int size, int is_writing, void *arg)
{
	const struct secret *passphrase = arg;
	struct bytes text;

	(void)is_writing;
	if (!passphrase)
		return -1;
	text = secret_bytes(passphrase);
	if (text.size > (size_t)size)
		return -1;
	memcpy(buffer, text.data, text.size);
	return (int)text.size;
}

int rsa_private_from_pem(struct bytes pem, const struct secret *passphrase,
			 struct rsa_key **ret_key)
{
	CLEANUP(bio_cleanup) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	EVP_PKEY *pkey;

	if (!bio)
		return -ENOMEM;
	pkey = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, (void *)(uintptr_t)passphrase);
	if (!pkey)
		return memmem(pem.data, pem.size, "ENCRYPTED", 9) ? -EKEYREJECTED : -EBADMSG;
	return key_new(pkey, ret_key);
}

void rsa_key_free(struct rsa_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

void rsa_key_cleanup(struct rsa_key **key)
{
	rsa_key_free(*key);
}

int rsa_fingerprint(const struct rsa_key *key, uint8_t digest[static RSA_FINGERPRINT_SIZE])
{
	uint8_t *der = NULL;
	int size = i2d_PUBKEY(key->pkey, &der);
	int r;

	if (size <= 0)
		return -ENOMEM;
	r = sha256((struct bytes){ der, (size_t)size }, digest);
	OPENSSL_free(der);
	return r;
}

static int use_oaep_sha256(EVP_PKEY_CTX *context)
{
	if (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 ||
	    EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) != 1 ||
	    EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) != 1)
		return -EIO;
	return 0;
}

int rsa_wrap(const struct rsa_key *key, struct bytes plain, uint8_t blob[static RSA_BLOB_MAX],
	     size_t *ret_size)
{
	CLEANUP(context_cleanup) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key->pkey, NULL);
	size_t size = RSA_BLOB_MAX;

	if (!context)
		return -ENOMEM;
	if (EVP_PKEY_encrypt_init(context) != 1 || use_oaep_sha256(context) < 0 ||
	    EVP_PKEY_encrypt(context, blob, &size, plain.data, plain.size) != 1)
		return -EIO;
	*ret_size = size;
	return 0;
}

int rsa_unwrap(const struct rsa_key *key, struct bytes blob, struct secret **ret_plain)
{
	CLEANUP(context_cleanup) EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key->pkey, NULL);
	CLEANUP(secret_free_cleanup) uint8_t *plain = secret_alloc(RSA_BLOB_MAX);
	size_t size = RSA_BLOB_MAX;

	if (!context || !plain)
		return -ENOMEM;
	if (EVP_PKEY_decrypt_init(context) != 1 || use_oaep_sha256(context) < 0)
		return -EIO;
	if (EVP_PKEY_decrypt(context, plain, &size, blob.data, blob.size) != 1)
		return -EKEYREJECTED;
	return secret_copy((struct bytes){ plain, size }, ret_plain);
}

static void digest_cleanup(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}

int rsa_sign(const struct rsa_key *key, struct bytes data, uint8_t signature[static RSA_BLOB_MAX],
	     size_t *ret_size)
{
	CLEANUP(digest_cleanup) EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t size = RSA_BLOB_MAX;

	if (!context)
		return -ENOMEM;
	if (EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key->pkey) != 1 ||
	    EVP_DigestSign(context, signature, &size, data.data, data.size) != 1)
		return -EIO;
	*ret_size = size;
	return 0;
}

int rsa_certificate_thumbprint(struct bytes pem, uint8_t digest[static RSA_THUMBPRINT_SIZE])
{
	CLEANUP(bio_cleanup) BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	unsigned int size = RSA_THUMBPRINT_SIZE;
	int r;

	if (!certificate)
		return -EBADMSG;
	r = X509_digest(certificate, EVP_sha1(), digest, &size) == 1 ? 0 : -EIO;
	X509_free(certificate);
	return r;
}

int rsa_public_pem(const struct rsa_key *key, char **ret_pem)
{
	CLEANUP(bio_cleanup) BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	long size;

	if (!bio || PEM_write_bio_PUBKEY(bio, key->pkey) != 1)
		return -ENOMEM;
	size = BIO_get_mem_data(bio, &data);
	*ret_pem = strndup(data, (size_t)size);
	return *ret_pem ? 0 : -ENOMEM;
}
