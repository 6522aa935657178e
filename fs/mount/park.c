/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for a data key, and one wait in the key ring for all that want the same. */
#include "fs/mount/park.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A request that is served again this often wants a key that keeps coming and going. */
#define ATTEMPTS_MAX 64

struct parked {
	struct parked *next;
	struct buffer *buffer;
	struct uuid dek;
	int64_t deadline_ms;
};

/* Outstanding at the key ring. */
struct dek_wait {
	struct dek_wait *next;
	struct park *park;
	struct uuid dek;
};

struct park {
	struct park_options options;
	struct loop *loop;
	pthread_mutex_t lock;
	struct parked *parked;
	struct dek_wait *waits;
	size_t count;
	unsigned references; /* the mount's, and one for each wait */
	bool is_closed;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t unique_of(const struct parked *parked)
{
	const struct fuse_in_header *header = parked->buffer->fuse.mem;

	return header->unique;
}

int park_create(const struct park_options *options, struct park **ret_park)
{
	struct park *park = calloc(1, sizeof(*park));

	if (!park)
		return -ENOMEM;
	park->options = *options;
	park->references = 1;
	pthread_mutex_init(&park->lock, NULL);
	*ret_park = park;
	return 0;
}

void park_set_loop(struct park *park, struct loop *loop)
{
	park->loop = loop;
}

static void release(struct park *park)
{
	pthread_mutex_lock(&park->lock);
	bool is_last = --park->references == 0;

	pthread_mutex_unlock(&park->lock);
	if (!is_last)
		return;
	pthread_mutex_destroy(&park->lock);
	free(park);
}

void park_free(struct park *park)
{
	if (!park)
		return;
	pthread_mutex_lock(&park->lock);
	struct parked *parked = TAKE(park->parked);

	park->is_closed = true;
	park->count = 0;
	pthread_mutex_unlock(&park->lock);
	for (struct parked *next; parked; parked = next) {
		next = parked->next;
		buffer_put(parked->buffer);
		free(parked);
	}
	release(park);
}

/* Take out of the list those for which WANTED is true; the lock is held. */
static struct parked *take_if(struct park *park,
			      bool (*wanted)(const struct parked *parked, const void *arg),
			      const void *arg)
{
	struct parked *taken = NULL;
	struct parked **end = &taken;

	for (struct parked **at = &park->parked; *at;) {
		struct parked *parked = *at;

		if (!wanted(parked, arg)) {
			at = &parked->next;
			continue;
		}
		*at = parked->next;
		parked->next = NULL;
		*end = parked;
		end = &parked->next;
		park->count--;
	}
	return taken;
}

static bool wants_dek(const struct parked *parked, const void *dek)
{
	return uuid_equal(&parked->dek, dek);
}

static bool has_unique(const struct parked *parked, const void *unique)
{
	return unique_of(parked) == *(const uint64_t *)unique;
}

static bool is_over(const struct parked *parked, const void *now)
{
	return parked->deadline_ms <= *(const int64_t *)now;
}

/* libfuse has forgotten the request, so the answer is written here: a header is all that an error needs. */
static void answer(struct park *park, struct parked *parked, int error)
{
	const struct fuse_out_header header = {
		.len = sizeof(header),
		.error = error,
		.unique = unique_of(parked),
	};

	/* ENOENT: the kernel has given it up already. */
	if (write(fuse_session_fd(park->options.session), &header, sizeof(header)) < 0)
		errno = 0;
	buffer_put(parked->buffer);
	free(parked);
}

/* There is an outcome, good or bad: serving again finds out which.  Called by the key ring. */
static void dek_ready(void *arg, int outcome)
{
	struct dek_wait *wait = arg;
	struct park *park = wait->park;

	(void)outcome;
	pthread_mutex_lock(&park->lock);
	for (struct dek_wait **at = &park->waits; *at; at = &(*at)->next) {
		if (*at != wait)
			continue;
		*at = wait->next;
		break;
	}
	struct parked *parked = take_if(park, wants_dek, &wait->dek);

	pthread_mutex_unlock(&park->lock);
	for (struct parked *next; parked; parked = next) {
		next = parked->next;
		loop_resume(park->loop, parked->buffer);
		free(parked);
	}
	free(wait);
	release(park);
}

/* A new wait unless one is outstanding; the lock is held. */
static struct dek_wait *new_wait(struct park *park, const struct uuid *dek_id)
{
	for (struct dek_wait *wait = park->waits; wait; wait = wait->next) {
		if (uuid_equal(&wait->dek, dek_id))
			return NULL;
	}
	struct dek_wait *wait = calloc(1, sizeof(*wait));

	if (!wait)
		return NULL;
	wait->park = park;
	wait->dek = *dek_id;
	wait->next = park->waits;
	park->waits = wait;
	park->references++;
	return wait;
}

void park_request(struct park *park, fuse_req_t req, const struct uuid *dek_id)
{
	struct parked *parked = loop_request() ? calloc(1, sizeof(*parked)) : NULL;

	if (!parked) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	parked->dek = *dek_id;
	parked->deadline_ms = now_ms() + park->options.timeout_ms;
	pthread_mutex_lock(&park->lock);
	/* Under the lock, so that an interrupt finds the request either with libfuse or here. */
	if (fuse_req_interrupted(req)) {
		fuse_reply_err(req, EINTR);
		pthread_mutex_unlock(&park->lock);
		free(parked);
		return;
	}
	parked->buffer = loop_take_buffer();
	if (++parked->buffer->attempts > ATTEMPTS_MAX) {
		fuse_reply_err(req, ETIMEDOUT);
		pthread_mutex_unlock(&park->lock);
		buffer_put(parked->buffer);
		free(parked);
		return;
	}
	fuse_reply_none(req);
	parked->next = park->parked;
	park->parked = parked;
	park->count++;
	struct dek_wait *wait = new_wait(park, dek_id);

	pthread_mutex_unlock(&park->lock);
	if (wait)
		dek_ring_wait(park->options.deks, dek_id, dek_ready, wait);
}

void park_interrupt(struct park *park, uint64_t unique, struct buffer *interrupt)
{
	pthread_mutex_lock(&park->lock);
	struct parked *parked = take_if(park, has_unique, &unique);

	if (!parked)
		loop_pass_on(park->loop, interrupt);
	pthread_mutex_unlock(&park->lock);
	if (parked)
		answer(park, parked, -EINTR);
}

void park_expire(struct park *park)
{
	int64_t now = now_ms();

	pthread_mutex_lock(&park->lock);
	struct parked *parked = take_if(park, is_over, &now);

	pthread_mutex_unlock(&park->lock);
	for (struct parked *next; parked; parked = next) {
		struct kms_error error;

		next = parked->next;
		answer(park, parked,
		       dek_ring_failure(park->options.deks, &parked->dek, &error) ? error.code
										  : -ETIMEDOUT);
	}
}

size_t park_count(struct park *park)
{
	pthread_mutex_lock(&park->lock);
	size_t count = park->count;

	pthread_mutex_unlock(&park->lock);
	return count;
}
