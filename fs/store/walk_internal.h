/* SPDX-License-Identifier: Apache-2.0 */
/* For walk*.c only. */
#ifndef SNAPCRYPT_FS_STORE_WALK_INTERNAL_H
#define SNAPCRYPT_FS_STORE_WALK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/store/walk.h"

#define BATCH_ENTRIES   64
#define BATCH_NAMES_MAX 16384

/* Entries of one directory: their names and backing names, each with its NUL. */
struct batch {
	unsigned count;
	size_t used;
	char names[BATCH_NAMES_MAX];
};

/*
 * DIRECTORY alone: to be listed.  With BATCH: entries of it.  With COUNT: so many entries of it from FIRST on in the manifest.
 * With RUN: an invitation.
 */
struct task {
	struct task *next;
	struct walk_directory *directory;
	struct batch *batch;
	uint64_t first;
	uint64_t count;
	void (*run)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

struct walk {
	const struct walk_visitor *visitor;
	struct snapshot *snapshot;
	struct store *store;
	struct sealed_view *view;
	unsigned thread_count;
	atomic_int error;
	atomic_uint waiting;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	struct task *invitations;
	struct task *stack;
	unsigned working;
};

/* Put a task on the stack: takes over the directory's reference and the batch of TEMPLATE. */
MUST_CHECK int walk_push(struct walk *walk, const struct task *template);
struct walk_directory *walk_directory_below(struct walk_directory *parent, const char *name,
					    const char *backing);

/* ---- walk_list.c ----------------------------------------------------------------------------- */

/* List an entered directory, visit what is in it, or give it to threads that wait. */
MUST_CHECK int walk_list(struct walk_directory *directory);
MUST_CHECK int walk_visit_batch(struct walk_directory *directory, const struct batch *batch);
MUST_CHECK int walk_visit_range(struct walk_directory *directory, uint64_t first, uint64_t count);
MUST_CHECK int walk_report(struct walk_directory *directory, const char *name, int error);

#endif
