/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Web Tokens (RFC 7519) signed with RS256: how this host proves who it is to a login service.  Only kms/ may include this. */
#ifndef SNAPCRYPT_KMS_CRYPTO_JWT_H
#define SNAPCRYPT_KMS_CRYPTO_JWT_H

#include "kms/crypto/rsa.h"
#include "kms/text.h"
#include "meta/macros.h"

/* Append base64url(HEADER) "." base64url(CLAIMS) "." base64url(signature) to TOKEN.  Both are JSON text.  -ENOMEM, -EIO. */
MUST_CHECK int jwt_sign(const struct rsa_key *key, const char *header, const char *claims,
			struct text *token);

#endif
