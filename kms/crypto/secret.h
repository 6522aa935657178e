/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for key bytes: locked, between guard pages, left out of core dumps, wiped when freed.
 *
 * It is one heap of fixed size behind one lock: allocate when keys come and go, never per block.
 */
#ifndef SNAPCRYPT_KMS_CRYPTO_SECRET_H
#define SNAPCRYPT_KMS_CRYPTO_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"

/*
 * Make the heap; once, before any thread and after the last fork.  Calling it again is harmless.
 *
 * Returns 0, or -ENOMEM when memory cannot be locked and guarded (RLIMIT_MEMLOCK): nothing may hold
 * keys then.
 */
MUST_CHECK int secret_init(void);

/* Zeroed.  NULL: no secret_init(), or the heap is full. */
void *secret_alloc(size_t size);

/* Wipe and free.  Accepts NULL. */
void secret_free(void *memory);
void secret_free_cleanup(uint8_t **memory);

/* Wipe any memory, in a way that the compiler keeps. */
void secret_wipe(void *memory, size_t size);

/* Takes as long wherever they differ.  The size is not secret. */
bool secret_equal(const void *a, const void *b, size_t size);

/* SIZE bytes of secret memory that know their size.  One owner. */
struct secret;

/* Zeroed.  -ENOMEM. */
MUST_CHECK int secret_new(size_t size, struct secret **ret_secret);

/* -ENOMEM.  The caller wipes what DATA names. */
MUST_CHECK int secret_copy(struct bytes data, struct secret **ret_secret);

uint8_t *secret_data(struct secret *secret);
struct bytes secret_bytes(const struct secret *secret);

/* Wipe and free.  Accepts NULL. */
void secret_drop(struct secret *secret);
void secret_cleanup(struct secret **secret);

#endif
