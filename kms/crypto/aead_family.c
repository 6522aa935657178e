/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that are revoked together: the file keys of one DEK. */
#include "kms/crypto/aead_family.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kms/crypto/aead_key.h"

struct aead_family {
	atomic_uint ref_count;
	pthread_mutex_t lock;
	int error; /* 0, or why it was revoked */
	struct aead_key *keys;
};

int aead_family_new(struct aead_family **ret_family)
{
	struct aead_family *family = calloc(1, sizeof(*family));

	if (!family)
		return -ENOMEM;
	atomic_init(&family->ref_count, 1);
	pthread_mutex_init(&family->lock, NULL);
	*ret_family = family;
	return 0;
}

void aead_family_free(struct aead_family *family)
{
	if (!family || atomic_fetch_sub_explicit(&family->ref_count, 1, memory_order_acq_rel) > 1)
		return;
	pthread_mutex_destroy(&family->lock);
	free(family);
}

/* 0, or the error of a revoked family. */
static int add(struct aead_family *family, struct aead_key *key)
{
	pthread_mutex_lock(&family->lock);

	int error = family->error;

	if (error == 0) {
		atomic_fetch_add_explicit(&family->ref_count, 1, memory_order_relaxed);
		key->family = family;
		key->next = family->keys;
		if (key->next)
			key->next->previous = key;
		family->keys = key;
	}
	pthread_mutex_unlock(&family->lock);
	return error;
}

int aead_family_import(struct aead_family *family, enum aead_algorithm algorithm,
		       struct bytes key_bytes, struct aead_key **ret_key)
{
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	int r = aead_key_import(algorithm, key_bytes, &key);

	if (r < 0)
		return r;
	r = add(family, key);
	if (r < 0)
		return r;
	*ret_key = TAKE(key);
	return 0;
}

void aead_family_remove(struct aead_key *key)
{
	struct aead_family *family = key->family;

	pthread_mutex_lock(&family->lock);
	if (key->previous)
		key->previous->next = key->next;
	else
		family->keys = key->next;
	if (key->next)
		key->next->previous = key->previous;
	pthread_mutex_unlock(&family->lock);
	aead_family_free(family);
}

void aead_family_revoke(struct aead_family *family, int error)
{
	/* The lock keeps a key whose last owner leaves now in the list until it has been wiped. */
	pthread_mutex_lock(&family->lock);
	family->error = error;
	for (struct aead_key *key = family->keys; key; key = key->next)
		aead_key_revoke(key, error);
	pthread_mutex_unlock(&family->lock);
}
