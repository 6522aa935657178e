/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking a volume: its records, and what its snapshots hold.  Nothing is changed.  Findings come on any thread.
 */
#ifndef SNAPCRYPT_FS_STORE_VERIFY_H
#define SNAPCRYPT_FS_STORE_VERIFY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/store/finding.h"
#include "fs/store/seal.h"
#include "fs/store/snapshot.h"
#include "fs/store/store.h"
#include "meta/macros.h"

struct verify_observer {
	void (*found)(void *arg, const struct finding *finding);
	void (*current)(void *arg, const char *path);
	void (*done)(void *arg, uint64_t files, uint64_t bytes, bool was_done);
	/* Was the content of this object verified by a run that was interrupted?  And: it is verified now.  May be NULL. */
	bool (*is_done)(void *arg, const struct uuid *snapshot, const char *path);
	void (*mark_done)(void *arg, const struct uuid *snapshot, const char *path);
	void *arg;
};

/*
 *   is_structure_only  no key is used: records, headers, sizes, the shape of names and targets
 *   sample_percent     of the content, 0 to 100; the end of every file is always read
 *   expected_root      the snapshot's seal must have it; NULL: any
 */
struct verify_options {
	struct store *store;
	bool is_structure_only;
	unsigned sample_percent;
	unsigned threads;
	const uint8_t *expected_root;
	const struct verify_observer *observer;
};

struct verify_counts {
	atomic_uint_fast64_t files;
	atomic_uint_fast64_t bytes;
	atomic_uint_fast64_t skipped;
	bool has_root; /* it is sealed */
	uint8_t root[SEAL_ROOT_SIZE];
};

/*
 * Settings, key records, chain of seals; snapshots that are gone or doubled.  Returns what kept it from looking, findings are
 * reported.
 */
MUST_CHECK int verify_volume(const struct verify_options *options);

/* Is anybody trusted here for the settings of this volume?  Only then a record of somebody else is more than unknown. */
bool verify_knows_writer(struct store *store);

/* One snapshot, whose directory is open at FD. */
MUST_CHECK int verify_snapshot(const struct verify_options *options, struct snapshot *snapshot,
			       int fd, struct verify_counts *counts);

#endif
