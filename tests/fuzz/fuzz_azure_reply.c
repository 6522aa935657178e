/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a reply of Azure or of a login: the first byte chooses the decoder, as in tests/vectors/kms/make_cloud.py. */
#include <stdlib.h>
#include <string.h>

#include "kms/credentials/oauth.h"
#include "kms/crypto/secret.h"
#include "kms/providers/azure_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_operation(struct bytes body)
{
	uint8_t value[AZURE_BLOB_MAX];
	char key_id[KEY_ID_SIZE];
	struct azure_key kid, again;
	size_t size;

	if (azure_decode_operation(body, &kid, value, &size) < 0)
		return;
	/* What was accepted is written in one way only. */
	azure_format_kid(&kid, key_id);
	if (!size || azure_parse_kid(key_id, &again) < 0 || !azure_same_key(&kid, &again) ||
	    strcmp(kid.version, again.version) != 0)
		abort();
}

static void read_refusal(struct bytes body)
{
	static const int statuses[] = { 400, 401, 403, 404, 409, 429, 500 };
	static const struct request_name name = { AZURE_SERVICE, "unwrapKey", "id" };

	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct http_reply reply = { .status = statuses[i],
					    .body = (char *)(uintptr_t)body.data,
					    .size = body.size };
		struct kms_error error = { 0 };

		if (azure_fail(&name, &reply, &error) >= 0 || strpbrk(error.text, "\r\n"))
			abort();
	}
}

static void read_token(struct bytes body)
{
	struct token token = { 0 };
	struct secret *bearer = NULL;

	if (oauth_decode(body, &token) < 0)
		return;
	if (token.lifetime_s < 0 || token_bearer(token.secret, &bearer) < 0)
		abort();
	secret_drop(bearer);
	secret_drop(token.secret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bytes body = { data + 1, size - 1 };
	struct kms_key_info info;

	if (!size || secret_init() < 0)
		return 0;
	if (data[0] % 5 == 0)
		read_operation(body);
	else if (data[0] % 5 == 1)
		(void)!azure_decode_key(body, &info);
	else if (data[0] % 5 == 2)
		(void)!azure_decode_deleted(body, &info);
	else if (data[0] % 5 == 3)
		read_refusal(body);
	else
		read_token(body);
	return 0;
}
