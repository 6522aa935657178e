/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a reply of Google Cloud KMS: the first byte chooses the decoder, as in tests/vectors/kms/make_cloud.py. */
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/secret.h"
#include "kms/providers/gcp_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_encrypt(struct bytes body)
{
	static struct gcp_encrypted encrypted;

	if (gcp_decode_encrypt(body, &encrypted) == 0 &&
	    (!encrypted.size || encrypted.size > GCP_BLOB_MAX ||
	     !memchr(encrypted.version, 0, sizeof(encrypted.version))))
		abort();
}

static void read_decrypt(struct bytes body)
{
	uint8_t plain[SLOT_SECRET_SIZE] = { 0 };
	bool is_primary;

	/* Unverified plaintext is not left behind. */
	if (gcp_decode_decrypt(body, plain, &is_primary) < 0 &&
	    !bytes_are_zero((struct bytes){ plain, sizeof(plain) }))
		abort();
}

static void read_refusal(struct bytes body)
{
	static const int statuses[] = { 400, 401, 403, 404, 429, 503 };
	static const struct request_name name = { GCP_SERVICE, "decrypt", "id" };

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct http_reply reply = { .status = statuses[i],
					    .body = (char *)(uintptr_t)body.data,
					    .size = body.size };
		struct kms_error error = { 0 };

		if (gcp_fail(&name, &reply, &error) >= 0 || strpbrk(error.text, "\r\n"))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bytes body = { data + 1, size - 1 };
	struct kms_key_info info;

	if (!size || secret_init() < 0)
		return 0;
	if (data[0] % 5 == 0)
		read_encrypt(body);
	else if (data[0] % 5 == 1)
		read_decrypt(body);
	else if (data[0] % 5 == 2)
		(void)!gcp_decode_key(body, &info);
	else if (data[0] % 5 == 3)
		(void)!gcp_decode_version(body, &info);
	else
		read_refusal(body);
	return 0;
}
