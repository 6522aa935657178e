/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring a snapshot into a directory, straight through the engine, with several threads.
 *
 * Only verified plaintext is written.  A file that fails is removed; nothing in the target is followed.  Every file gets its
 * time last, so that a file with its time has all of its content: an interrupted restore goes on behind it.
 */
#ifndef SNAPCRYPT_FS_RESTORE_RESTORE_H
#define SNAPCRYPT_FS_RESTORE_RESTORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "fs/restore/filter.h"
#include "fs/restore/sink.h"
#include "fs/store/finding.h"
#include "fs/store/sealed_view.h"
#include "fs/store/snapshot.h"
#include "meta/macros.h"

/* What is in a snapshot, or was done with it. */
struct restore_counts {
	atomic_uint_fast64_t files;
	atomic_uint_fast64_t directories;
	atomic_uint_fast64_t symlinks;
	atomic_uint_fast64_t special;
	atomic_uint_fast64_t links; /* further names of objects counted above */
	atomic_uint_fast64_t bytes;
	atomic_uint_fast64_t resumed; /* files that an interrupted restore had finished */
	atomic_uint_fast64_t hidden;  /* names that do not decrypt */
	atomic_uint_fast64_t
		failures; /* objects that were not restored, for lack of authenticity or else */
	atomic_uint_fast64_t
		findings; /* of them, what is wrong with the snapshot; and repaired metadata */
	atomic_uint_fast64_t allocated; /* bytes needed in the target */
	bool has_times; /* the target's own directory has got these, access and change */
	struct timespec times[2];
};

/* Called on any thread. */
struct restore_observer {
	/* An object could not be restored, or not as it is below.  FINDING: of the snapshot; else ERROR. */
	void (*failed)(void *arg, const char *path, const struct finding *finding, int error);
	void (*current)(void *arg, const char *path);
	void (*done)(void *arg, uint64_t items, uint64_t bytes, bool was_there);
	void *arg;
};

/*
 *   snapshot_fd    its directory
 *   view           of a sealed snapshot: it is restored as its manifest says.  NULL: as it is below
 *   target_fd      of the directory that it becomes
 *   sink           it goes there, and not to target_fd; NULL: to target_fd
 *   started        resuming: files of the target that were last changed before may be whole; else zero
 *   replaces       what is in the target and not a directory is replaced
 *   verifies       read every file again and compare
 *   digested       gets the SHA-256 of every file that is whole in the target, once for all of its names; NULL: nobody wants it
 */
struct restore_options {
	struct snapshot *snapshot;
	int snapshot_fd;
	struct sealed_view *view;
	int target_fd;
	const struct restore_sink *sink;
	const struct filter *filter;
	struct timespec started;
	bool resumes;
	bool replaces;
	bool verifies;
	int (*digested)(void *arg, const char *path, const uint8_t digest[static SHA256_SIZE]);
	void *digested_arg;
	unsigned threads;
	const struct restore_observer *observer;
};

/* Returns what ended it early: a key that is gone, no space, no memory; 0 also where objects failed. */
MUST_CHECK int restore_run(const struct restore_options *options, struct restore_counts *counts);

/* What there is to be restored: nothing is written, no content read. */
MUST_CHECK int restore_count(const struct restore_options *options, struct restore_counts *counts);

#endif
