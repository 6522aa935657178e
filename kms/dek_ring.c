/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DEKs that a process has open, and the threads that open them.
 *
 * One lock guards everything; it is never held while a key service is asked, and never while somebody is called back.
 */
#include "kms/dek_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>
#include <utlist.h>

#include "kms/dek_ring_internal.h"
#include "kms/retry.h"

#define RING_OPEN_MAX 1024 /* idle DEKs beyond this are forgotten, least recently used first */

/* A DEK that an alternate had opened. */
static void primary_said_no(void *arg, const struct uuid *dek_id, const struct kms_error *no)
{
	struct dek_ring *ring = arg;

	if (ring->options.strayed)
		ring->options.strayed(ring->options.arg, dek_id, NULL, no);
	else if (key_state_is_definite_no(no->state))
		dek_ring_revoke(ring, dek_id, no->state);
}

int dek_ring_create(const struct dek_ring_options *options, struct dek_ring **ret_ring)
{
	struct dek_ring *ring = calloc(1, sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	ring->options = *options;
	if (!ring->options.failure_ttl_ms)
		ring->options.failure_ttl_ms = 5000;
	pthread_mutex_init(&ring->lock, NULL);
	pthread_cond_init(&ring->has_job, NULL);
	pthread_cond_init(&ring->has_outcome, NULL);
	kms_listen(ring->options.kms, primary_said_no, ring);
	*ret_ring = ring;
	return 0;
}

static int work_unwrap(struct dek_ring *ring, struct ring_entry *entry, struct kms_error *reterr);

struct ring_entry *ring_entry_get(struct dek_ring *ring, const struct uuid *id)
{
	struct ring_entry *entry = NULL;

	HASH_FIND(hh, ring->entries, id, sizeof(*id), entry);
	if (entry) {
		/* uthash keeps insertion order: moving to the end makes it the order of use. */
		HASH_DEL(ring->entries, entry);
	} else {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return NULL;
		entry->id = *id;
		entry->work = work_unwrap;
	}
	HASH_ADD(hh, ring->entries, id, sizeof(entry->id), entry);
	return entry;
}

static struct ring_entry *entry_find(struct dek_ring *ring, const struct uuid *id)
{
	struct ring_entry *entry = NULL;

	HASH_FIND(hh, ring->entries, id, sizeof(*id), entry);
	return entry;
}

static void entry_free(struct dek_ring *ring, struct ring_entry *entry)
{
	HASH_DEL(ring->entries, entry);
	if (entry->dek) {
		ring->open_count--;
		dek_put(entry->dek);
	}
	ring_ticket_free(entry);
	free(entry);
}

/* Forget the DEK that was not used for longest, if nobody else holds it.  With the lock held. */
static void ring_evict(struct dek_ring *ring)
{
	struct ring_entry *entry, *next;

	HASH_ITER (hh, ring->entries, entry, next) {
		if (entry->state != RING_OPEN || entry->is_busy || dek_is_shared(entry->dek))
			continue;
		entry_free(ring, entry);
		return;
	}
}

static void entry_set_open(struct dek_ring *ring, struct ring_entry *entry, struct dek *dek)
{
	if (ring->open_count >= RING_OPEN_MAX)
		ring_evict(ring);
	entry->dek = dek;
	entry->state = RING_OPEN;
	entry->error = (struct kms_error){ 0 };
	ring->open_count++;
}

/* Unwrap one DEK; without the lock.  RETERR is filled where an alternate opened it. */
static int unwrap(struct dek_ring *ring, const struct uuid *dek_id, struct dek **ret_dek,
		  struct kms_error *reterr)
{
	struct key_record record = { 0 };
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	size_t index = 0;
	int r;

	r = ring->options.load(ring->options.arg, dek_id, &record, reterr);
	if (r < 0)
		return r;
	r = kms_unwrap_dek(ring->options.kms, &record, &dek, &index, reterr);
	if (r == 0 && record.slots[index].role == SLOT_ALTERNATE && ring->options.strayed)
		ring->options.strayed(ring->options.arg, dek_id, &record.slots[index], reterr);
	key_record_free(&record);
	if (r < 0)
		return r;
	if (ring->options.opened) {
		r = ring->options.opened(ring->options.arg, dek);
		if (r < 0)
			return kms_fail(reterr, r, KEY_STATE_UNKNOWN,
					"what an interrupted mount left could not be applied: %s",
					strerror(-r));
	}
	*ret_dek = TAKE(dek);
	return 0;
}

/* Called and returns with the lock held. */
static int work_unwrap(struct dek_ring *ring, struct ring_entry *entry, struct kms_error *reterr)
{
	const struct uuid dek_id = entry->id;
	struct dek *dek = NULL;
	int r;

	pthread_mutex_unlock(&ring->lock);
	r = unwrap(ring, &dek_id, &dek, reterr);
	pthread_mutex_lock(&ring->lock);
	if (r < 0)
		return r;
	if (entry->state == RING_REVOKED) {
		/* What was unwrapped before that verdict does not count. */
		dek_put(dek);
		return entry->error.code;
	}
	if (entry->state == RING_OPEN) {
		dek_put(dek);
		return 0;
	}
	entry_set_open(ring, entry, dek);
	entry->error = *reterr;
	entry->error.code = 0;
	return 0;
}

static void call_back(struct ring_waiter *waiters, int outcome)
{
	while (waiters) {
		struct ring_waiter *next = waiters->next;

		waiters->ready(waiters->arg, outcome);
		free(waiters);
		waiters = next;
	}
}

/* One job, taken from the queue.  Called and returns with the lock held. */
static void ring_work(struct dek_ring *ring, struct ring_entry *entry)
{
	struct kms_error error = { 0 };
	struct ring_waiter *waiters;
	int r;

	r = entry->work(ring, entry, &error);
	entry->is_busy = false;
	if (r < 0 && entry->state == RING_WORKING) {
		entry->state = RING_FAILED;
		entry->failed_ms = retry_now_ms();
		entry->error = error;
		entry->error.code = r;
	}
	waiters = entry->waiters;
	entry->waiters = NULL;
	pthread_cond_broadcast(&ring->has_outcome);
	pthread_mutex_unlock(&ring->lock);
	call_back(waiters, r);
	pthread_mutex_lock(&ring->lock);
}

static void *key_thread(void *arg)
{
	struct dek_ring *ring = arg;

	/* A thread of the mount that works for a user may have started this one, which reads keys and records as ourselves. */
	setfsgid(getegid());
	setfsuid(geteuid());
	pthread_mutex_lock(&ring->lock);
	for (;;) {
		struct ring_entry *entry = ring->jobs;

		if (ring->is_stopping)
			break;
		if (!entry) {
			ring->idle_threads++;
			pthread_cond_wait(&ring->has_job, &ring->lock);
			ring->idle_threads--;
			continue;
		}
		LL_DELETE2(ring->jobs, entry, next_job);
		ring_work(ring, entry);
	}
	pthread_mutex_unlock(&ring->lock);
	return NULL;
}

/* With the lock held. */
int ring_start(struct dek_ring *ring, struct ring_entry *entry)
{
	if (ring->is_stopping)
		return -ESHUTDOWN;
	if (!ring->idle_threads && ring->thread_count < RING_THREADS) {
		int r = pthread_create(&ring->threads[ring->thread_count], NULL, key_thread, ring);

		if (!r)
			ring->thread_count++;
		else if (!ring->thread_count)
			return -r;
	}
	entry->state = RING_WORKING;
	/* Withdrawn and given back while it was busy: that job is ours as well. */
	if (entry->is_busy)
		return 0;
	entry->is_busy = true;
	LL_APPEND2(ring->jobs, entry, next_job);
	pthread_cond_signal(&ring->has_job);
	return 0;
}

int ring_remembered(struct dek_ring *ring, const struct ring_entry *entry)
{
	if (entry->state == RING_REVOKED)
		return entry->error.code;
	if (entry->state == RING_FAILED &&
	    retry_now_ms() - entry->failed_ms < (int64_t)ring->options.failure_ttl_ms)
		return entry->error.code;
	return 0;
}

/* With the lock held: 0 and a reference, -EAGAIN while it is being opened, or the failure. */
static int entry_try(struct dek_ring *ring, struct ring_entry *entry, struct dek **ret_dek)
{
	int r;

	if (entry->state == RING_OPEN) {
		*ret_dek = dek_ref(entry->dek);
		return 0;
	}
	if (entry->state == RING_WORKING)
		return -EAGAIN;
	r = ring_remembered(ring, entry);
	if (r == 0)
		r = ring_start(ring, entry);
	return r < 0 ? r : -EAGAIN;
}

int dek_ring_try(struct dek_ring *ring, const struct uuid *dek_id, struct dek **ret_dek)
{
	struct ring_entry *entry;
	int r;

	pthread_mutex_lock(&ring->lock);
	entry = ring_entry_get(ring, dek_id);
	r = entry ? entry_try(ring, entry, ret_dek) : -ENOMEM;
	pthread_mutex_unlock(&ring->lock);
	return r;
}

void dek_ring_wait(struct dek_ring *ring, const struct uuid *id,
		   void (*ready)(void *arg, int outcome), void *arg)
{
	struct ring_waiter *waiter = malloc(sizeof(*waiter));
	struct ring_entry *entry;
	int r = -ENOMEM;

	pthread_mutex_lock(&ring->lock);
	entry = waiter ? entry_find(ring, id) : NULL;
	if (entry && entry->state == RING_WORKING) {
		*waiter = (struct ring_waiter){ .ready = ready, .arg = arg };
		LL_APPEND(entry->waiters, waiter);
		pthread_mutex_unlock(&ring->lock);
		return;
	}
	if (waiter)
		r = entry ? ring_remembered(ring, entry) : 0;
	pthread_mutex_unlock(&ring->lock);
	free(waiter);
	ready(arg, r);
}

int dek_ring_get(struct dek_ring *ring, const struct uuid *dek_id, struct dek **ret_dek,
		 struct kms_error *reterr)
{
	struct ring_entry *entry;
	int r = -ENOMEM;

	pthread_mutex_lock(&ring->lock);
	entry = ring_entry_get(ring, dek_id);
	if (entry)
		r = entry_try(ring, entry, ret_dek);
	while (r == -EAGAIN && !ring->is_stopping) {
		pthread_cond_wait(&ring->has_outcome, &ring->lock);
		entry = entry_find(ring, dek_id);
		if (!entry || entry->state == RING_WORKING)
			continue;
		r = entry->state == RING_OPEN ? entry_try(ring, entry, ret_dek) : entry->error.code;
	}
	if (r == 0 && reterr && entry && entry->error.text[0])
		*reterr = entry->error;
	if (r < 0 && reterr) {
		if (entry && entry->error.code == r)
			*reterr = entry->error;
		else
			kms_fail(reterr, r, KEY_STATE_UNKNOWN, "data key not available: %s",
				 strerror(-r));
	}
	pthread_mutex_unlock(&ring->lock);
	return r;
}

bool dek_ring_failure(struct dek_ring *ring, const struct uuid *dek_id, struct kms_error *ret_error)
{
	struct ring_entry *entry;
	bool has_failure;

	pthread_mutex_lock(&ring->lock);
	entry = entry_find(ring, dek_id);
	has_failure = entry && (entry->state == RING_FAILED || entry->state == RING_REVOKED);
	if (has_failure)
		*ret_error = entry->error;
	pthread_mutex_unlock(&ring->lock);
	return has_failure;
}

bool dek_ring_has_strayed(struct dek_ring *ring, const struct uuid *dek_id,
			  struct kms_error *ret_primary)
{
	const struct ring_entry *entry;
	bool has_strayed;

	pthread_mutex_lock(&ring->lock);
	entry = entry_find(ring, dek_id);
	has_strayed = entry && entry->state == RING_OPEN && entry->error.text[0];
	if (has_strayed && ret_primary)
		*ret_primary = entry->error;
	pthread_mutex_unlock(&ring->lock);
	return has_strayed;
}

int dek_ring_insert(struct dek_ring *ring, struct dek *dek)
{
	struct ring_entry *entry;
	int r = 0;

	pthread_mutex_lock(&ring->lock);
	entry = ring_entry_get(ring, dek_id(dek));
	if (!entry)
		r = -ENOMEM;
	else if (entry->state == RING_IDLE || entry->state == RING_FAILED)
		entry_set_open(ring, entry, dek_ref(dek));
	else if (entry->state != RING_OPEN)
		r = -EBUSY;
	pthread_mutex_unlock(&ring->lock);
	return r;
}

void dek_ring_forget_failures(struct dek_ring *ring)
{
	struct ring_entry *entry, *next;

	pthread_mutex_lock(&ring->lock);
	HASH_ITER (hh, ring->entries, entry, next)
		if (entry->state == RING_FAILED)
			entry->state = RING_IDLE;
	pthread_mutex_unlock(&ring->lock);
}

void dek_ring_revoke(struct dek_ring *ring, const struct uuid *dek_id, enum key_state state)
{
	struct dek *dek = NULL;
	struct ring_entry *entry;

	pthread_mutex_lock(&ring->lock);
	entry = ring_entry_get(ring, dek_id);
	if (entry) {
		dek = entry->dek;
		if (dek)
			ring->open_count--;
		entry->dek = NULL;
		/* A job that is queued finds itself revoked when it runs; it stays in the queue. */
		entry->state = RING_REVOKED;
		kms_fail(&entry->error, key_state_errno(state), state, "key is %s",
			 key_state_name(state));
	}
	pthread_mutex_unlock(&ring->lock);
	if (dek) {
		dek_wipe(dek);
		dek_put(dek);
	}
}

void dek_ring_restore(struct dek_ring *ring, const struct uuid *dek_id)
{
	struct ring_entry *entry;

	pthread_mutex_lock(&ring->lock);
	entry = entry_find(ring, dek_id);
	if (entry && entry->state == RING_REVOKED)
		entry->state = RING_IDLE;
	pthread_mutex_unlock(&ring->lock);
}

int dek_ring_list(struct dek_ring *ring, struct uuid **ret_ids, size_t *ret_count)
{
	struct ring_entry *entry, *next;
	struct uuid *ids;
	size_t count = 0;

	pthread_mutex_lock(&ring->lock);
	ids = calloc(ring->open_count + 1, sizeof(*ids));
	if (ids) {
		HASH_ITER (hh, ring->entries, entry, next)
			if (entry->state == RING_OPEN)
				ids[count++] = entry->id;
	}
	pthread_mutex_unlock(&ring->lock);
	if (!ids)
		return -ENOMEM;
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}

void dek_ring_free(struct dek_ring *ring)
{
	struct ring_entry *entry, *next;

	if (!ring)
		return;
	kms_listen(ring->options.kms, NULL, NULL);
	pthread_mutex_lock(&ring->lock);
	ring->is_stopping = true;
	pthread_cond_broadcast(&ring->has_job);
	pthread_cond_broadcast(&ring->has_outcome);
	pthread_mutex_unlock(&ring->lock);
	for (unsigned i = 0; i < ring->thread_count; i++)
		pthread_join(ring->threads[i], NULL);
	HASH_ITER (hh, ring->entries, entry, next) {
		call_back(entry->waiters, -ESHUTDOWN);
		entry->waiters = NULL;
		if (entry->dek)
			dek_wipe(entry->dek);
		entry_free(ring, entry);
	}
	pthread_cond_destroy(&ring->has_job);
	pthread_cond_destroy(&ring->has_outcome);
	pthread_mutex_destroy(&ring->lock);
	free(ring);
}
