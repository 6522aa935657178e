/* SPDX-License-Identifier: Apache-2.0 */
/* One set of AWS credentials: immutable, counted. */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_AWS_KEYS_H
#define SNAPCRYPT_KMS_CREDENTIALS_AWS_KEYS_H

#include <stdint.h>

#include "kms/crypto/secret.h"
#include "kms/error.h"
#include "meta/bytes.h"
#include "meta/macros.h"

#define AWS_ACCESS_KEY_ID_SIZE 160
#define AWS_PRINCIPAL_SIZE     512

struct aws_keys {
	unsigned references;
	char access_key_id[AWS_ACCESS_KEY_ID_SIZE];
	struct secret *secret_access_key;
	struct secret *session_token; /* with its NUL, or NULL */
	int64_t expires_s;            /* 0: not known to */
	char principal[AWS_PRINCIPAL_SIZE];
	const char *source; /* meta/NAMES.md, "Credential sources"; a constant */
};

/*
 * The principal is the access key id; aws_keys_set_principal() before anybody else sees them.
 *
 *   session_token  empty: none
 *
 * -EKEYEXPIRED: not usable as credentials (control characters, too long, empty).  -ENOMEM.
 */
MUST_CHECK int aws_keys_new(const char *source, const char *access_key_id,
			    struct bytes secret_access_key, struct bytes session_token,
			    struct aws_keys **ret_keys);
void aws_keys_set_principal(struct aws_keys *keys, const char *principal);

struct aws_keys *aws_keys_get(struct aws_keys *keys);

/* Accepts NULL. */
void aws_keys_put(struct aws_keys *keys);
void aws_keys_cleanup(struct aws_keys **keys);

/* NULL: none. */
const char *aws_keys_session_token(const struct aws_keys *keys);

/*
 * Read {AccessKeyId, SecretAccessKey, Token or SessionToken, Expiration, RoleArn}, as metadata services and credential
 * commands write it.  A reply with a Code other than Success is an error with its Message.
 *
 *   where  for the error text
 */
MUST_CHECK int aws_keys_from_json(struct bytes text, const char *source, const char *where,
				  struct aws_keys **ret_keys, struct kms_error *reterr);

#endif
