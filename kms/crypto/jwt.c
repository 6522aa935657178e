/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Tokens signed with RS256. */
#include "kms/crypto/jwt.h"

#include <string.h>

int jwt_sign(const struct rsa_key *key, const char *header, const char *claims, struct text *token)
{
	size_t start = token->size;
	uint8_t signature[RSA_BLOB_MAX];
	size_t size;
	int r;

	text_add_base64url(token, bytes_from_text(header));
	text_add(token, ".");
	text_add_base64url(token, bytes_from_text(claims));
	r = text_check(token);
	if (r < 0)
		return r;
	r = rsa_sign(key,
		     (struct bytes){ (const uint8_t *)token->data + start, token->size - start },
		     signature, &size);
	if (r < 0)
		return r;
	text_add(token, ".");
	text_add_base64url(token, (struct bytes){ signature, size });
	return text_check(token);
}
