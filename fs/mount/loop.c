/* SPDX-License-Identifier: Apache-2.0 */
/* Leader and followers over libfuse's receive and process calls. */
#include "fs/mount/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WATCHDOG_TICK_NS     1500000L
#define WATCHDOG_TICK_MAX_NS (4 * WATCHDOG_TICK_NS)
#define WATCHDOG_IDLE_TICKS  10
#define STOP_RETRY_NS        20000000L
#define WAKE_SIGNAL          SIGUSR2

/* progress is odd while a request is served. */
struct worker {
	struct loop *loop;
	pthread_t thread;
	struct buffer *buffer;
	uint8_t *memory;
	size_t memory_size;
	pthread_cond_t wake;
	bool is_woken;
	bool is_ended;
	struct worker *next_idle;
	_Atomic uint64_t progress;
};

struct loop {
	struct loop_options options;
	pthread_mutex_t lock;
	struct worker *idle;
	struct buffer *resumed;
	struct buffer **resumed_end;
	_Atomic(struct worker *) leader;
	atomic_bool is_stopping;
	struct worker workers[LOOP_WORKERS_MAX];
	unsigned worker_count;
	pthread_t watchdog;
	bool has_watchdog;
	pthread_cond_t watchdog_wake;
	atomic_bool is_watchdog_asleep;
};

static _Thread_local struct worker *current;

enum turn { TURN_LEAD, TURN_RESUMED, TURN_STOP };

static void *worker_main(void *arg);

static int start_worker(struct loop *loop)
{
	struct worker *worker = &loop->workers[loop->worker_count];

	worker->loop = loop;
	pthread_cond_init(&worker->wake, NULL);
	if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
		return -EAGAIN;
	loop->worker_count++;
	return 0;
}

/* The lock is held.  Nobody idle and no thread left: who is busy looks again when done. */
static void wake_one(struct loop *loop)
{
	struct worker *worker = loop->idle;

	if (worker) {
		loop->idle = worker->next_idle;
		worker->is_woken = true;
		pthread_cond_signal(&worker->wake);
		return;
	}
	if (loop->worker_count < LOOP_WORKERS_MAX && !loop->is_stopping)
		(void)start_worker(loop);
}

static void hand_over(struct loop *loop, struct worker *worker)
{
	struct worker *expected = worker;

	if (!atomic_compare_exchange_strong(&loop->leader, &expected, NULL))
		return;
	pthread_mutex_lock(&loop->lock);
	wake_one(loop);
	pthread_mutex_unlock(&loop->lock);
}

static enum turn wait_for_turn(struct loop *loop, struct worker *worker,
			       struct buffer **ret_resumed)
{
	enum turn turn = TURN_STOP;

	pthread_mutex_lock(&loop->lock);
	while (!loop->is_stopping) {
		struct worker *nobody = NULL;

		if (loop->resumed) {
			*ret_resumed = loop->resumed;
			loop->resumed = loop->resumed->next;
			if (!loop->resumed)
				loop->resumed_end = &loop->resumed;
			turn = TURN_RESUMED;
			break;
		}
		if (atomic_compare_exchange_strong(&loop->leader, &nobody, worker)) {
			turn = TURN_LEAD;
			break;
		}
		worker->is_woken = false;
		worker->next_idle = loop->idle;
		loop->idle = worker;
		while (!worker->is_woken)
			pthread_cond_wait(&worker->wake, &loop->lock);
	}
	pthread_mutex_unlock(&loop->lock);
	return turn;
}

static void wake_watchdog(struct loop *loop)
{
	if (!atomic_load_explicit(&loop->is_watchdog_asleep, memory_order_relaxed))
		return;
	pthread_mutex_lock(&loop->lock);
	loop->is_watchdog_asleep = false;
	pthread_cond_signal(&loop->watchdog_wake);
	pthread_mutex_unlock(&loop->lock);
}

static void serve(struct loop *loop, struct worker *worker)
{
	const struct fuse_in_header *header = worker->buffer->fuse.mem;
	const struct fuse_interrupt_in *interrupt = (const void *)(header + 1);

	wake_watchdog(loop);
	atomic_fetch_add_explicit(&worker->progress, 1, memory_order_relaxed);
	if (header->opcode != FUSE_INTERRUPT ||
	    worker->buffer->fuse.size < sizeof(*header) + sizeof(*interrupt) ||
	    !loop->options.interrupted(loop->options.arg, interrupt->unique, worker->buffer))
		fuse_session_process_buf(loop->options.session, &worker->buffer->fuse);
	loop->options.served(loop->options.arg);
	atomic_fetch_add_explicit(&worker->progress, 1, memory_order_relaxed);
}

/* End of the connection, or an error that will not go away: nobody reads any more. */
static void end_reading(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	bool is_first = !loop->is_stopping;

	loop->is_stopping = true;
	while (loop->idle)
		wake_one(loop);
	pthread_mutex_unlock(&loop->lock);
	fuse_session_exit(loop->options.session);
	if (is_first)
		loop->options.ended(loop->options.arg);
}

static void lead(struct loop *loop, struct worker *worker)
{
	while (atomic_load(&loop->leader) == worker && !loop->is_stopping) {
		if (!worker->buffer)
			worker->buffer = buffer_get(loop->options.buffers);
		if (!worker->buffer) {
			sched_yield();
			continue;
		}
		worker->buffer->attempts = 0;

		int r = fuse_session_receive_buf(loop->options.session, &worker->buffer->fuse);

		if (r == -EINTR || r == -EAGAIN)
			continue;
		if (r <= 0) {
			end_reading(loop);
			return;
		}
		serve(loop, worker);
	}
	hand_over(loop, worker);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct loop *loop = worker->loop;
	struct buffer *resumed = NULL;
	enum turn turn;

	current = worker;
	/* The umask belongs to the thread from now on: each object is made under that of its caller. */
	if (unshare(CLONE_FS) < 0) {
		end_reading(loop);
		worker->is_ended = true;
		return NULL;
	}
	while ((turn = wait_for_turn(loop, worker, &resumed)) != TURN_STOP) {
		if (turn == TURN_LEAD) {
			lead(loop, worker);
			continue;
		}
		buffer_put(worker->buffer);
		worker->buffer = resumed;
		serve(loop, worker);
	}
	buffer_put(worker->buffer);
	free(worker->memory);
	pthread_mutex_lock(&loop->lock);
	worker->is_ended = true;
	pthread_mutex_unlock(&loop->lock);
	return NULL;
}

/* Sleeps when there is nothing to watch, so that an idle mount never wakes the machine. */
static void watchdog_sleep(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	loop->is_watchdog_asleep = true;
	while (loop->is_watchdog_asleep && !loop->is_stopping)
		pthread_cond_wait(&loop->watchdog_wake, &loop->lock);
	pthread_mutex_unlock(&loop->lock);
}

/* Looks less often while requests go through quickly. */
static void *watchdog_main(void *arg)
{
	struct timespec tick = { .tv_nsec = WATCHDOG_TICK_NS };
	struct loop *loop = arg;
	struct worker *seen = NULL;
	uint64_t seen_progress = 0;
	unsigned quiet = 0;

	while (!loop->is_stopping) {
		struct worker *leader = loop->leader;
		uint64_t progress = leader ? leader->progress : 0;
		bool is_same = leader == seen && progress == seen_progress;

		tick.tv_nsec = is_same ? WATCHDOG_TICK_NS : tick.tv_nsec * 2;
		if (tick.tv_nsec > WATCHDOG_TICK_MAX_NS)
			tick.tv_nsec = WATCHDOG_TICK_MAX_NS;
		if (leader && is_same && (progress & 1))
			hand_over(loop, leader);
		quiet = is_same && !(progress & 1) ? quiet + 1 : 0;
		seen = leader;
		seen_progress = progress;
		if (quiet >= WATCHDOG_IDLE_TICKS) {
			watchdog_sleep(loop);
			quiet = 0;
		}
		nanosleep(&tick, NULL);
	}
	return NULL;
}

static void ignore_signal(int number)
{
	(void)number;
}

int loop_create(const struct loop_options *options, struct loop **ret_loop)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	const struct sigaction action = { .sa_handler = ignore_signal };

	if (!loop)
		return -ENOMEM;
	loop->options = *options;
	loop->resumed_end = &loop->resumed;
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->watchdog_wake, NULL);
	sigaction(WAKE_SIGNAL, &action, NULL);
	*ret_loop = loop;
	return 0;
}

int loop_start(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	int r = start_worker(loop);

	if (r == 0)
		r = start_worker(loop);
	if (r == 0 && pthread_create(&loop->watchdog, NULL, watchdog_main, loop) != 0)
		r = -EAGAIN;
	loop->has_watchdog = r == 0;
	pthread_mutex_unlock(&loop->lock);
	return r;
}

static bool all_ended(struct loop *loop)
{
	bool is_ended = true;

	pthread_mutex_lock(&loop->lock);
	for (unsigned i = 0; i < loop->worker_count; i++) {
		is_ended = is_ended && loop->workers[i].is_ended;
		/* It may be on its way into read(2): ask again until it has ended. */
		if (!loop->workers[i].is_ended)
			pthread_kill(loop->workers[i].thread, WAKE_SIGNAL);
	}
	pthread_mutex_unlock(&loop->lock);
	return is_ended;
}

void loop_stop(struct loop *loop)
{
	const struct timespec retry = { .tv_nsec = STOP_RETRY_NS };

	fuse_session_exit(loop->options.session);
	pthread_mutex_lock(&loop->lock);
	loop->is_stopping = true;
	while (loop->idle)
		wake_one(loop);
	pthread_cond_signal(&loop->watchdog_wake);
	pthread_mutex_unlock(&loop->lock);
	while (!all_ended(loop))
		nanosleep(&retry, NULL);
	for (unsigned i = 0; i < loop->worker_count; i++)
		pthread_join(loop->workers[i].thread, NULL);
	if (loop->has_watchdog)
		pthread_join(loop->watchdog, NULL);
	loop->has_watchdog = false;
	loop->worker_count = 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	for (struct buffer *buffer = loop->resumed, *next; buffer; buffer = next) {
		next = buffer->next;
		buffer_put(buffer);
	}
	pthread_cond_destroy(&loop->watchdog_wake);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

void loop_resume(struct loop *loop, struct buffer *buffer)
{
	pthread_mutex_lock(&loop->lock);
	buffer->next = NULL;
	*loop->resumed_end = buffer;
	loop->resumed_end = &buffer->next;
	wake_one(loop);
	pthread_mutex_unlock(&loop->lock);
}

void loop_pass_on(struct loop *loop, struct buffer *buffer)
{
	fuse_session_process_buf(loop->options.session, &buffer->fuse);
}

void loop_expect_delay(void)
{
	if (current)
		hand_over(current->loop, current);
}

const struct fuse_in_header *loop_request(void)
{
	return current && current->buffer ? current->buffer->fuse.mem : NULL;
}

struct buffer *loop_take_buffer(void)
{
	return TAKE(current->buffer);
}

uint8_t *loop_reply_memory(size_t size)
{
	if (current->memory_size >= size)
		return current->memory;

	uint8_t *memory = realloc(current->memory, size);

	if (!memory)
		return NULL;
	current->memory = memory;
	current->memory_size = size;
	return memory;
}
