/* SPDX-License-Identifier: Apache-2.0 */
/* Who uses a key right now, and the contexts kept ready for it. */
#include "kms/crypto/key_pool.h"

#include <assert.h>

void key_pool_init(struct key_pool *pool)
{
	*pool = (struct key_pool){ .error = 0 };
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->is_unused, NULL);
}

static void free_contexts(struct key_pool *pool)
{
	/* Freeing wipes the key schedule. */
	while (pool->context_count > 0)
		EVP_CIPHER_CTX_free(pool->contexts[--pool->context_count]);
}

void key_pool_destroy(struct key_pool *pool)
{
	assert(pool->use_count == 0);
	free_contexts(pool);
	pthread_cond_destroy(&pool->is_unused);
	pthread_mutex_destroy(&pool->lock);
}

int key_pool_take(struct key_pool *pool, EVP_CIPHER_CTX **ret_context)
{
	EVP_CIPHER_CTX *context = NULL;

	pthread_mutex_lock(&pool->lock);

	int error = pool->error;

	if (error == 0) {
		pool->use_count++;
		if (ret_context && pool->context_count > 0)
			context = pool->contexts[--pool->context_count];
	}
	pthread_mutex_unlock(&pool->lock);
	if (error != 0)
		return error;
	if (ret_context)
		*ret_context = context;
	return 0;
}

void key_pool_give(struct key_pool *pool, EVP_CIPHER_CTX *context)
{
	EVP_CIPHER_CTX *surplus = context;

	pthread_mutex_lock(&pool->lock);
	if (context && pool->error == 0 && pool->context_count < KEY_POOL_CONTEXTS_MAX) {
		pool->contexts[pool->context_count++] = context;
		surplus = NULL;
	}

	/* Under the lock: revocation promises that no context is left. */
	EVP_CIPHER_CTX_free(surplus);
	pool->use_count--;
	if (pool->use_count == 0 && pool->error != 0)
		pthread_cond_broadcast(&pool->is_unused);
	pthread_mutex_unlock(&pool->lock);
}

void key_pool_revoke(struct key_pool *pool, int error)
{
	assert(error < 0);
	pthread_mutex_lock(&pool->lock);
	pool->error = error;
	while (pool->use_count > 0)
		pthread_cond_wait(&pool->is_unused, &pool->lock);
	free_contexts(pool);
	pthread_mutex_unlock(&pool->lock);
}

bool key_pool_is_revoked(struct key_pool *pool)
{
	pthread_mutex_lock(&pool->lock);

	bool is_revoked = pool->error != 0;

	pthread_mutex_unlock(&pool->lock);
	return is_revoked;
}
