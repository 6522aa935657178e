/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Acknowledged writes that wait to be sealed and written: bounded, in order per file.  The buffer that a request arrived in
 * is queued itself; RELEASE gives it back to its pool afterwards.
 */
#ifndef SNAPCRYPT_FS_STORE_WRITE_QUEUE_H
#define SNAPCRYPT_FS_STORE_WRITE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "fs/store/file.h"

struct write_queue;

struct queued_write {
	struct file *file;
	const uint8_t *data;
	size_t size;
	uint64_t offset;
	void (*release)(void *buffer);
	void *buffer;
};

MUST_CHECK int write_queue_create(size_t limit, unsigned threads, struct write_queue **ret_queue);
void write_queue_free(struct write_queue *queue); /* drains */

/* Queue a write; blocks while the queue is full.  Returns the file's sticky error instead, if it has one. */
MUST_CHECK int write_queue_submit(struct write_queue *queue, const struct queued_write *write);

/* Wait until everything queued for FILE is written; returns and clears its error. */
MUST_CHECK int write_queue_wait(struct write_queue *queue, struct file *file);
size_t write_queue_bytes(struct write_queue *queue);

#endif
