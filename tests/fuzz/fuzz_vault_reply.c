/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a reply of Vault: the first byte chooses the decoder, as in tests/vectors/kms/make_cloud.py. */
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/vault_internal.h"
#include "kms/crypto/secret.h"
#include "kms/providers/vault_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_encrypt(struct bytes body)
{
	static uint8_t wrapped[SLOT_WRAPPED_MAX];
	size_t size;

	if (vault_decode_encrypt(body, wrapped, &size) == 0 &&
	    (size > sizeof(wrapped) ||
	     vault_ciphertext_version((struct bytes){ wrapped, size }) < 1))
		abort();
}

static void read_decrypt(struct bytes body)
{
	uint8_t plain[SLOT_SECRET_SIZE] = { 0 };

	if (vault_decode_decrypt(body, plain) < 0 &&
	    !bytes_are_zero((struct bytes){ plain, sizeof(plain) }))
		abort();
}

static void read_refusal(struct bytes body)
{
	static const int statuses[] = { 307, 400, 403, 404, 429, 500, 503 };
	static const struct request_name name = { VAULT_SERVICE, "decrypt", "id" };

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct http_reply reply = { .status = statuses[i],
					    .body = (char *)(uintptr_t)body.data,
					    .size = body.size };
		struct kms_error error = { 0 };

		if (vault_fail(&name, &reply, &error) >= 0 || strpbrk(error.text, "\r\n"))
			abort();
	}
}

static void read_grant(int (*decode)(struct bytes body, struct vault_grant *ret_grant),
		       struct bytes body)
{
	struct vault_grant grant = { 0 };

	if (decode(body, &grant) == 0 && grant.lease_s < 0)
		abort();
	secret_drop(grant.token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bytes body = { data + 1, size - 1 };
	struct vault_key key;
	bool may_create;

	if (!size || secret_init() < 0)
		return 0;
	if (data[0] % 7 == 0)
		read_encrypt(body);
	else if (data[0] % 7 == 1)
		read_decrypt(body);
	else if (data[0] % 7 == 2)
		(void)!vault_decode_key(body, &key);
	else if (data[0] % 7 == 3)
		(void)!vault_decode_capabilities(body, &may_create);
	else if (data[0] % 7 == 4)
		read_refusal(body);
	else if (data[0] % 7 == 5)
		read_grant(vault_decode_auth, body);
	else
		read_grant(vault_decode_lookup, body);
	return 0;
}
