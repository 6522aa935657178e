/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads that serve requests: leader and followers.
 *
 * One thread, the leader, reads requests and serves them itself, so that a small request costs no wake-up.  Before it takes up
 * a long one it hands the reading to a sleeping follower: loop_expect_delay().  A watchdog does that for a leader that is
 * held up in a request for more than about a millisecond.  Followers sleep each on a condition of its own, which is
 * signalled for nothing else.
 */
#ifndef SNAPCRYPT_FS_MOUNT_LOOP_H
#define SNAPCRYPT_FS_MOUNT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/mount/buffer.h"
#include "meta/macros.h"

#define LOOP_WORKERS_MAX 8

struct loop;

/*
 *   interrupted   called for an INTERRUPT of the request UNIQUE; true: it was dealt with
 *   served        called after every request, on the thread that served it
 *   ended         called once when no more requests are read
 */
struct loop_options {
	struct fuse_session *session;
	struct buffer_pool *buffers;
	bool (*interrupted)(void *arg, uint64_t unique, struct buffer *interrupt);
	void (*served)(void *arg);
	void (*ended)(void *arg);
	void *arg;
};

MUST_CHECK int loop_create(const struct loop_options *options, struct loop **ret_loop);

/* Start the first threads; the others start when they are needed. */
MUST_CHECK int loop_start(struct loop *loop);

/* Stop reading, let running requests finish, end the threads. */
void loop_stop(struct loop *loop);
void loop_free(struct loop *loop);

/* Serve a request that was put aside, on any thread of the loop. */
void loop_resume(struct loop *loop, struct buffer *buffer);

/* For INTERRUPT: let libfuse have it. */
void loop_pass_on(struct loop *loop, struct buffer *buffer);

/* On a serving thread: what follows takes long, so another thread should read. */
void loop_expect_delay(void);

/* On a serving thread: the request as it came from the kernel; NULL elsewhere. */
const struct fuse_in_header *loop_request(void);

/* On a serving thread: the buffer of the request is the caller's from now on. */
struct buffer *loop_take_buffer(void);

/* On a serving thread: memory for a reply, valid until the request is answered.  NULL without memory. */
uint8_t *loop_reply_memory(size_t size);

#endif
