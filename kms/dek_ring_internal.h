/* SPDX-License-Identifier: Apache-2.0 */
/* What dek_ring.c and dek_make.c share. */
#ifndef SNAPCRYPT_KMS_DEK_RING_INTERNAL_H
#define SNAPCRYPT_KMS_DEK_RING_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <uthash.h>

#include "kms/dek_ring.h"

#define RING_THREADS 4

enum ring_state { RING_IDLE, RING_WORKING, RING_OPEN, RING_FAILED, RING_REVOKED };

struct ring_waiter {
	void (*ready)(void *arg, int outcome);
	void *arg;
	struct ring_waiter *next;
};

/* A DEK that nobody has taken yet. */
struct ring_made {
	struct key_record record;
	struct dek *dek;
	struct ring_made *next;
};

/* A DEK, or a ticket under which DEKs are made. */
struct ring_entry {
	struct uuid id;
	enum ring_state state;
	/* Called and returns with the lock held, which it drops while a service is asked. */
	int (*work)(struct dek_ring *ring, struct ring_entry *entry, struct kms_error *reterr);
	struct dek *dek;
	int64_t failed_ms;
	struct kms_error error;
	struct ring_waiter *waiters;
	bool is_busy; /* queued, or a thread works for it */
	struct ring_entry *next_job;
	struct ring_made *made;
	char made_key_id[KEY_ID_SIZE]; /* what was made last is under this one; "": nothing yet */
	unsigned made_count;
	unsigned spare_count;       /* kept ready */
	unsigned wanted_count;      /* spares, or one that somebody waits for */
	struct dek_request request; /* a copy; uri NULL: none */
	UT_hash_handle hh;
};

struct dek_ring {
	struct dek_ring_options options;
	pthread_mutex_t lock;
	pthread_cond_t has_job;
	pthread_cond_t has_outcome;
	struct ring_entry *entries;
	struct ring_entry *jobs;
	size_t open_count;
	unsigned idle_threads;
	unsigned thread_count;
	pthread_t threads[RING_THREADS];
	bool is_stopping;
};

/* All with the lock held.  NULL: out of memory. */
struct ring_entry *ring_entry_get(struct dek_ring *ring, const struct uuid *id);

/* Queue the entry's work. */
MUST_CHECK int ring_start(struct dek_ring *ring, struct ring_entry *entry);

/* The failure that is still remembered, or 0. */
int ring_remembered(struct dek_ring *ring, const struct ring_entry *entry);

/* Drop what was made and the request. */
void ring_ticket_free(struct ring_entry *entry);

#endif
