/* SPDX-License-Identifier: Apache-2.0 */
/* HKDF (RFC 5869) and HMAC, both with SHA-256. */
#include "kms/crypto/kdf.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <string.h>

#include "kms/crypto/secret.h"

#define EXPAND_PARTS_MAX 8

/* An empty key means the same as this: HMAC fills keys up with zeros. */
static const uint8_t zero_key[HMAC_SIZE];

/*
 * Naming the digest makes the provider look it up under a global lock, so it is done once, in a
 * context that holds no key of ours and is copied for every MAC.
 */
static pthread_once_t template_once = PTHREAD_ONCE_INIT;
static EVP_MAC_CTX *template;

static void template_make(void)
{
	char digest[] = "SHA256";
	const OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *context = mac ? EVP_MAC_CTX_new(mac) : NULL;

	if (context && EVP_MAC_init(context, zero_key, sizeof(zero_key), parameters) == 1)
		template = context;
	else
		EVP_MAC_CTX_free(context);
	EVP_MAC_free(mac);
}

static bool mac_parts(EVP_MAC_CTX *context, const struct bytes *parts, size_t part_count)
{
	for (size_t i = 0; i < part_count; i++) {
		if (parts[i].size > 0 && EVP_MAC_update(context, parts[i].data, parts[i].size) != 1)
			return false;
	}
	return true;
}

int hmac_sha256(struct bytes key, const struct bytes *parts, size_t part_count,
		uint8_t mac[static HMAC_SIZE])
{
	struct bytes full_key = key.size > 0 ? key : (struct bytes){ zero_key, sizeof(zero_key) };
	size_t mac_size;

	pthread_once(&template_once, template_make);

	EVP_MAC_CTX *context = template ? EVP_MAC_CTX_dup(template) : NULL;

	if (!context)
		return -ENOMEM;

	bool is_done = EVP_MAC_init(context, full_key.data, full_key.size, NULL) == 1 &&
		       mac_parts(context, parts, part_count) &&
		       EVP_MAC_final(context, mac, &mac_size, HMAC_SIZE) == 1 &&
		       mac_size == HMAC_SIZE;

	EVP_MAC_CTX_free(context);
	if (!is_done) {
		secret_wipe(mac, HMAC_SIZE);
		return -EIO;
	}
	return 0;
}

int kdf_extract(struct bytes salt, struct bytes ikm, uint8_t prk[static HMAC_SIZE])
{
	return hmac_sha256(salt, &ikm, 1, prk);
}

int kdf_expand(struct bytes prk, const struct bytes *info, size_t info_count,
	       struct kdf_output output)
{
	CLEANUP(secret_free_cleanup) uint8_t *last = NULL;
	struct bytes parts[1 + EXPAND_PARTS_MAX + 1] = { { NULL, 0 } };
	uint8_t counter = 1;

	if (output.size == 0 || output.size > KDF_OUTPUT_MAX || info_count > EXPAND_PARTS_MAX)
		return -EINVAL;
	if (output.size % HMAC_SIZE != 0) {
		last = secret_alloc(HMAC_SIZE);
		if (!last)
			return -ENOMEM;
	}
	memcpy(parts + 1, info, info_count * sizeof(*info));
	parts[1 + info_count] = (struct bytes){ &counter, 1 };
	for (size_t done = 0; done < output.size; done += HMAC_SIZE, counter++) {
		size_t left = output.size - done;
		uint8_t *block = left < HMAC_SIZE ? last : output.data + done;

		/* T(n) = HMAC(prk, T(n - 1) | info | n) */
		int r = hmac_sha256(prk, parts, info_count + 2, block);

		if (r < 0) {
			secret_wipe(output.data, output.size);
			return r;
		}
		if (left < HMAC_SIZE)
			memcpy(output.data + done, last, left);
		parts[0] = (struct bytes){ block, HMAC_SIZE };
	}
	return 0;
}

int kdf_extract_expand(struct bytes salt, struct bytes ikm, struct bytes info,
		       struct kdf_output output)
{
	CLEANUP(secret_free_cleanup) uint8_t *prk = secret_alloc(HMAC_SIZE);

	if (!prk)
		return -ENOMEM;

	int r = kdf_extract(salt, ikm, prk);

	if (r < 0)
		return r;
	return kdf_expand((struct bytes){ prk, HMAC_SIZE }, &info, 1, output);
}
