/* SPDX-License-Identifier: Apache-2.0 */
/* A key from a passphrase. */
#include "kms/crypto/passphrase.h"

#include <errno.h>
#include <openssl/evp.h>

#define MEMORY_MAX (UINT64_C(1) << 30)

int passphrase_derive(const struct secret *passphrase,
		      const uint8_t salt[static PASSPHRASE_SALT_SIZE],
		      const struct passphrase_cost *cost, struct secret **ret_key)
{
	struct bytes text = secret_bytes(passphrase);
	CLEANUP(secret_cleanup) struct secret *key = NULL;
	int r;

	if (cost->r < 1 || cost->r > 64 || cost->p < 1 || cost->p > 16 || cost->n < 1024 ||
	    cost->n > MEMORY_MAX / 128 / cost->r)
		return -EINVAL;
	r = secret_new(32, &key);
	if (r < 0)
		return r;
	if (EVP_PBE_scrypt((const char *)text.data, text.size, salt, PASSPHRASE_SALT_SIZE, cost->n,
			   cost->r, cost->p, MEMORY_MAX + (UINT64_C(1) << 20), secret_data(key),
			   32) != 1)
		return -ENOMEM;
	*ret_key = TAKE(key);
	return 0;
}
