/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for key bytes, on OpenSSL's secure heap. */
#include "kms/crypto/secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <string.h>

/* What a 32-byte key takes; smaller requests are rounded up to it. */
#define SECRET_GRAIN 32

/*
 * The heap never grows.  The largest serves about 130,000 open files, the smallest still some
 * thousands.  Tried in turn, because RLIMIT_MEMLOCK bounds what an unprivileged process may lock.
 */
static const size_t heap_sizes[] = { 4 << 20, 1 << 20, 256 << 10 };

static pthread_once_t heap_once = PTHREAD_ONCE_INIT;
static bool heap_is_ready;

static void heap_make(void)
{
	/* Somebody else's heap: whether it is locked is not known. */
	if (CRYPTO_secure_malloc_initialized())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(heap_sizes) && !heap_is_ready; i++) {
		/* 2 means made, but not locked or not guarded: as good as ordinary memory. */
		int outcome = CRYPTO_secure_malloc_init(heap_sizes[i], SECRET_GRAIN);

		heap_is_ready = outcome == 1;
		if (outcome == 2)
			CRYPTO_secure_malloc_done();
	}
}

int secret_init(void)
{
	pthread_once(&heap_once, heap_make);
	return heap_is_ready ? 0 : -ENOMEM;
}

void *secret_alloc(size_t size)
{
	/* Without its heap, OpenSSL would silently serve ordinary memory. */
	if (!heap_is_ready || size == 0)
		return NULL;
	return OPENSSL_secure_zalloc(size);
}

void secret_free(void *memory)
{
	/* Wipes all that was allocated, rounding included. */
	OPENSSL_secure_free(memory);
}

void secret_free_cleanup(uint8_t **memory)
{
	secret_free(*memory);
}

void secret_wipe(void *memory, size_t size)
{
	if (size > 0)
		OPENSSL_cleanse(memory, size);
}

bool secret_equal(const void *a, const void *b, size_t size)
{
	return CRYPTO_memcmp(a, b, size) == 0;
}

struct secret {
	size_t size;
	uint8_t data[];
};

int secret_new(size_t size, struct secret **ret_secret)
{
	size_t total;

	if (__builtin_add_overflow(sizeof(struct secret), size, &total))
		return -ENOMEM;

	struct secret *secret = secret_alloc(total);

	if (!secret)
		return -ENOMEM;
	secret->size = size;
	*ret_secret = secret;
	return 0;
}

int secret_copy(struct bytes data, struct secret **ret_secret)
{
	struct secret *secret;
	int r = secret_new(data.size, &secret);

	if (r < 0)
		return r;
	if (data.size > 0)
		memcpy(secret->data, data.data, data.size);
	*ret_secret = secret;
	return 0;
}

uint8_t *secret_data(struct secret *secret)
{
	return secret->data;
}

struct bytes secret_bytes(const struct secret *secret)
{
	return (struct bytes){ secret->data, secret->size };
}

void secret_drop(struct secret *secret)
{
	secret_free(secret);
}

void secret_cleanup(struct secret **secret)
{
	secret_drop(*secret);
}
