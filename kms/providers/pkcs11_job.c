/* SPDX-License-Identifier: Apache-2.0 */
/* Calls into a module, each in a thread of its own: the interface has no deadlines, and a token may be a machine far away. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "kms/providers/pkcs11_internal.h"
#include "kms/retry.h"

#define SLICE_MS    50
#define HANGING_MAX 8

static atomic_uint hanging_calls; /* of all tokens */

/* A thread inside a module must not see the module's own destructors run. */
static void leave_at_once(int status, void *arg)
{
	(void)arg;
	if (!atomic_load(&hanging_calls))
		return;
	(void)fflush(NULL);
	_exit(status);
}

/* Destructors run in the reverse order of their registration, and the module is loaded by now. */
static void abandon(struct pkcs11_job *job)
{
	job->is_abandoned = true;
	atomic_fetch_add(&job->pkcs11->hanging, 1);
	if (atomic_fetch_add(&hanging_calls, 1) == 0)
		(void)on_exit(leave_at_once, NULL);
}

struct pkcs11_job *pkcs11_job_new(struct pkcs11 *pkcs11, int (*work)(struct pkcs11_job *job))
{
	struct pkcs11_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	job->pkcs11 = pkcs11;
	job->work = work;
	atomic_fetch_add(&pkcs11->references, 1);
	pthread_mutex_init(&job->lock, NULL);
	pthread_cond_init(&job->is_over, NULL);
	return job;
}

void pkcs11_job_free(struct pkcs11_job *job)
{
	if (!job)
		return;
	secret_drop(job->secret);
	pkcs11_put(job->pkcs11);
	pthread_cond_destroy(&job->is_over);
	pthread_mutex_destroy(&job->lock);
	free(job);
}

static void *run(void *arg)
{
	struct pkcs11_job *job = arg;
	bool is_abandoned;

	job->result = job->work(job);
	pthread_mutex_lock(&job->lock);
	job->is_done = true;
	is_abandoned = job->is_abandoned;
	pthread_cond_signal(&job->is_over);
	pthread_mutex_unlock(&job->lock);
	if (is_abandoned) {
		atomic_fetch_sub(&job->pkcs11->hanging, 1);
		pkcs11_job_free(job);
		atomic_fetch_sub(&hanging_calls, 1);
	}
	return NULL;
}

/* Signals are for the threads of whoever asked. */
static int start(struct pkcs11_job *job, pthread_t *ret_thread)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(ret_thread, NULL, run, job);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

/* 0: it is done. */
static int wait_for(struct pkcs11_job *job, pthread_t thread, const struct kms_call *call)
{
	int r = 0;

	pthread_mutex_lock(&job->lock);
	while (!job->is_done && r == 0) {
		int64_t until_ms = retry_now_ms();
		struct timespec until;

		if (call->is_cancelled && atomic_load(call->is_cancelled))
			r = -EINTR;
		else if (until_ms >= call->deadline_ms)
			r = -ETIMEDOUT;
		until_ms += SLICE_MS;
		if (until_ms > call->deadline_ms)
			until_ms = call->deadline_ms;
		until = (struct timespec){ .tv_sec = until_ms / 1000,
					   .tv_nsec = until_ms % 1000 * 1000000 };
		if (r == 0)
			(void)pthread_cond_clockwait(&job->is_over, &job->lock, CLOCK_MONOTONIC,
						     &until);
	}
	if (r < 0) {
		abandon(job);
		pthread_detach(thread);
	}
	pthread_mutex_unlock(&job->lock);
	if (r == 0)
		pthread_join(thread, NULL);
	return r;
}

int pkcs11_run(struct pkcs11_job *job, const struct kms_call *call, struct pkcs11_job **ret_job,
	       struct kms_error *reterr)
{
	pthread_t thread;
	int r;

	*ret_job = NULL;
	if (atomic_load(&job->pkcs11->hanging) >= HANGING_MAX) {
		pkcs11_job_free(job);
		return kms_fail(reterr, -ETIMEDOUT, KEY_STATE_UNREACHABLE,
				"%s: %d calls hang in the module already", PKCS11_SERVICE,
				HANGING_MAX);
	}
	r = start(job, &thread);
	if (r < 0) {
		pkcs11_job_free(job);
		return kms_fail(reterr, -EAGAIN, KEY_STATE_UNKNOWN, "no thread can be started");
	}
	r = wait_for(job, thread, call);
	if (r == -EINTR)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "cancelled");
	if (r < 0) {
		r = kms_fail(reterr, r, KEY_STATE_UNREACHABLE,
			     "%s: the token did not answer before the deadline", PKCS11_SERVICE);
		kms_advise(reterr, "check the token and what its module needs");
		return r;
	}
	if (reterr)
		*reterr = job->error;
	*ret_job = job;
	return job->result;
}
