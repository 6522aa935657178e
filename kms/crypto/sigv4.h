/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signature Version 4 of Amazon Web Services, for what we send: POST to "/" without a query, the body in one piece.
 * Signed headers: content-type, host, x-amz-date, x-amz-security-token and x-amz-target where there are any.
 */
#ifndef SNAPCRYPT_KMS_CRYPTO_SIGV4_H
#define SNAPCRYPT_KMS_CRYPTO_SIGV4_H

#include <stddef.h>
#include <stdint.h>

#include "kms/crypto/hash.h"
#include "kms/crypto/kdf.h"
#include "kms/crypto/secret.h"
#include "meta/bytes.h"
#include "meta/macros.h"

#define SIGV4_DATE_SIZE          17 /* 20150830T123600Z and its NUL */
#define SIGV4_AUTHORIZATION_SIZE 512

/* session_token: a text, or NULL. */
struct sigv4_key {
	const char *access_key_id;
	const struct secret *secret_access_key;
	const char *session_token;
};

/*
 * Values as they are sent, without leading, trailing or double spaces.
 *
 *   host    with its port unless it is the scheme's own
 *   target  of X-Amz-Target, or NULL: not sent
 */
struct sigv4_request {
	const char *region;
	const char *service;
	const char *host;
	const char *content_type;
	const char *target;
	struct bytes body;
};

/* Time as X-Amz-Date.  -ERANGE. */
MUST_CHECK int sigv4_date(int64_t time_s, char date[static SIGV4_DATE_SIZE]);

/* SHA-256 of the canonical request. */
MUST_CHECK int sigv4_canonical_digest(const struct sigv4_request *request,
				      const char *session_token, const char *date,
				      uint8_t digest[static SHA256_SIZE]);

/* The key that is derived for a day, region and service; SIGNING_KEY is secret memory. */
MUST_CHECK int sigv4_signing_key(const struct secret *secret_access_key, const char *date,
				 const struct sigv4_request *request,
				 uint8_t signing_key[static HMAC_SIZE]);

/*
 * The value of the Authorization header for a request sent at DATE.
 *
 * -ENOMEM, -EIO, -ENOSPC.  -EINVAL: a value that holds a control character.
 */
MUST_CHECK int sigv4_sign(const struct sigv4_key *key, const struct sigv4_request *request,
			  const char *date, char authorization[static SIGV4_AUTHORIZATION_SIZE]);

#endif
