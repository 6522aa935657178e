/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA (RFC 8017): OAEP with SHA-256 for keys whose private half is elsewhere, signatures that log in to services.  Only kms/
 * may include this.
 */
#ifndef SNAPCRYPT_KMS_CRYPTO_RSA_H
#define SNAPCRYPT_KMS_CRYPTO_RSA_H

#include <stddef.h>
#include <stdint.h>

#include "kms/crypto/secret.h"
#include "meta/bytes.h"
#include "meta/macros.h"

#define RSA_BLOB_MAX         1024 /* 8192 bits */
#define RSA_FINGERPRINT_SIZE 32
#define RSA_THUMBPRINT_SIZE  20

/* A public or private RSA key of 2048 to 8192 bits.  Immutable, thread-safe. */
struct rsa_key;

/* From PEM: SubjectPublicKeyInfo, or a certificate.  -EBADMSG: not an RSA key of that size. */
MUST_CHECK int rsa_public_from_pem(struct bytes pem, struct rsa_key **ret_key);

/* From PEM: PKCS #8 or PKCS #1; PASSPHRASE: NULL for none.  -EKEYREJECTED: encrypted, and this does not open it. */
MUST_CHECK int rsa_private_from_pem(struct bytes pem, const struct secret *passphrase,
				    struct rsa_key **ret_key);
void rsa_key_free(struct rsa_key *key);
void rsa_key_cleanup(struct rsa_key **key);

/* SHA-256 of the DER SubjectPublicKeyInfo. */
MUST_CHECK int rsa_fingerprint(const struct rsa_key *key,
			       uint8_t digest[static RSA_FINGERPRINT_SIZE]);

MUST_CHECK int rsa_wrap(const struct rsa_key *key, struct bytes plain,
			uint8_t blob[static RSA_BLOB_MAX], size_t *ret_size);

/* -EKEYREJECTED: not wrapped with this key, or changed. */
MUST_CHECK int rsa_unwrap(const struct rsa_key *key, struct bytes blob, struct secret **ret_plain);

/* RSASSA-PKCS1-v1_5 with SHA-256, as RS256 of RFC 7518. */
MUST_CHECK int rsa_sign(const struct rsa_key *key, struct bytes data,
			uint8_t signature[static RSA_BLOB_MAX], size_t *ret_size);

/* SHA-1 of the DER form of the first certificate in PEM: how Entra ID names one.  -EBADMSG: there is none. */
MUST_CHECK int rsa_certificate_thumbprint(struct bytes pem,
					  uint8_t digest[static RSA_THUMBPRINT_SIZE]);

/* PEM of the public half, with NUL; free() it. */
MUST_CHECK int rsa_public_pem(const struct rsa_key *key, char **ret_pem);

#endif
