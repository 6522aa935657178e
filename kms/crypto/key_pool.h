/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who uses a key right now, and the contexts kept ready for it.
 *
 * A context holds an expanded key, so taking one up again costs no key schedule.  Revocation needs
 * to know that nobody uses the key any more before it wipes.
 *
 * Contexts are ordinary memory of OpenSSL, which can be swapped out: while a key is in use its
 * schedule lies there, and is wiped when the context is freed.  The bytes of the key do not.
 */
#ifndef SNAPCRYPT_KMS_CRYPTO_KEY_POOL_H
#define SNAPCRYPT_KMS_CRYPTO_KEY_POOL_H

#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>

#include "meta/macros.h"

/* As many as threads that work on one file at a time; more are made and freed as needed. */
#define KEY_POOL_CONTEXTS_MAX 4

struct key_pool {
	pthread_mutex_t lock;
	pthread_cond_t is_unused;
	int error; /* 0, or why the key was revoked */
	unsigned int use_count;
	unsigned int context_count;
	EVP_CIPHER_CTX *contexts[KEY_POOL_CONTEXTS_MAX];
};

void key_pool_init(struct key_pool *pool);

/* Nobody may use the key. */
void key_pool_destroy(struct key_pool *pool);

/*
 * Begin to use the key.
 *
 *   ret_context   one that lies ready, or NULL: make one.  The argument may be NULL for keys that
 *                 have no contexts
 *
 * Returns 0, or the error of revocation.
 */
MUST_CHECK int key_pool_take(struct key_pool *pool, EVP_CIPHER_CTX **ret_context);

/* End of use.  CONTEXT may be NULL; one whose operation failed is freed, not given back. */
void key_pool_give(struct key_pool *pool, EVP_CIPHER_CTX *context);

/*
 * Let every later use fail with ERROR, wait for those that run, free the contexts.  May be called
 * again.
 */
void key_pool_revoke(struct key_pool *pool, int error);

bool key_pool_is_revoked(struct key_pool *pool);

#endif
