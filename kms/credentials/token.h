/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bearer token: fetched when first needed, renewed ahead of its end by one thread while the others go on with the old one.
 */
#ifndef SNAPCRYPT_KMS_CREDENTIALS_TOKEN_H
#define SNAPCRYPT_KMS_CREDENTIALS_TOKEN_H

#include <stdint.h>

#include "kms/crypto/secret.h"
#include "kms/provider.h"
#include "meta/macros.h"

#define TOKEN_MAX 32768

/* The current token of one source.  Thread-safe. */
struct token_cache;

/* What a login gave.  lifetime_s 0: it does not end.  renew_after_s 0: at half of a life of two hours or more, else 5 min before the end. */
struct token {
	struct secret *secret;
	int64_t lifetime_s;
	int64_t renew_after_s;
};

/* One attempt to get a token; fills RETERR on failure. */
typedef int token_fetch(void *arg, const struct kms_call *call, struct token *ret_token,
			struct kms_error *reterr);

/* FETCH is called with ARG, by one thread at a time. */
MUST_CHECK int token_cache_open(token_fetch *fetch, void *arg, struct token_cache **ret_cache);
void token_cache_close(struct token_cache *cache);

/*
 * A copy of the token.  While one is valid, a failing renewal is not an error: it is tried again 30 s later.
 *
 * What FETCH returns; -ETIMEDOUT when another thread's login took longer than the call's deadline.
 */
MUST_CHECK int token_cache_get(struct token_cache *cache, const struct kms_call *call,
			       struct secret **ret_token, struct kms_error *reterr);

/* The service refused TOKEN: forget it, unless it was replaced meanwhile. */
void token_cache_reject(struct token_cache *cache, const struct secret *token);

/* "Bearer " and the token, with a NUL, in secret memory; CR, LF and other control characters are refused with -EBADMSG. */
MUST_CHECK int token_bearer(const struct secret *token, struct secret **ret_header);

#endif
