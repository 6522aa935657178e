/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that wait for a data key.  A serving thread never waits for a key service: it puts the raw request aside, and when
 * there is an outcome the whole request is served again.  Nothing has been changed by the first attempt (fs/store/store.h).
 */
#ifndef SNAPCRYPT_FS_MOUNT_PARK_H
#define SNAPCRYPT_FS_MOUNT_PARK_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/mount/loop.h"
#include "kms/dek_ring.h"

struct park;

struct park_options {
	struct fuse_session *session;
	struct dek_ring *deks;
	uint32_t timeout_ms;
};

MUST_CHECK int park_create(const struct park_options *options, struct park **ret_park);

/* Where requests are served again; before the first one arrives. */
void park_set_loop(struct park *park, struct loop *loop);

/* The threads have ended: what is still parked is dropped.  The key ring may still call back. */
void park_free(struct park *park);

/* On a serving thread: put REQ aside until there is an outcome for DEK_ID.  Answers it at once if that cannot be. */
void park_request(struct park *park, fuse_req_t req, const struct uuid *dek_id);

/* The caller of a request was interrupted: answer EINTR if it is parked, else let libfuse know. */
void park_interrupt(struct park *park, uint64_t unique, struct buffer *interrupt);

/* Answer requests whose deadline is over. */
void park_expire(struct park *park);

size_t park_count(struct park *park);

#endif
