/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seal records and tombstones of a volume: reading them, checking their chain, adding to it.  Format: meta/FORMAT.md,
 * section 9.4.  Thread-safe.
 */
#ifndef SNAPCRYPT_FS_STORE_SEAL_H
#define SNAPCRYPT_FS_STORE_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/store/snapshot.h"
#include "meta/records/seal_record.h"

#define SEAL_ROOT_TEXT_SIZE 44 /* base64url, NUL */

/*
 * A seal record as found: the file whole, its signature good.  Its MAC is another matter: sealed_view_open() checks it.
 *
 *   root   SHA-256 of the record file
 */
struct seal {
	struct seal_record record;
	enum trust_origin origin;
	char writer[WRITER_FINGERPRINT_SIZE];
	uint8_t root[SEAL_ROOT_SIZE];
};
void seal_free(struct seal *seal);
void seal_cleanup(struct seal *seal);

/* A root as people and --expect-root have it. */
void seal_root_format(const uint8_t root[static SEAL_ROOT_SIZE],
		      char text[static SEAL_ROOT_TEXT_SIZE]);
MUST_CHECK int seal_root_parse(const char *text, uint8_t root[static SEAL_ROOT_SIZE]);

/*
 * The seal of a snapshot: the newest without a trusted tombstone.
 * -ENOENT: it has none.  -EBADMSG: this host knows it as sealed, and its seal record is gone or not whole.
 */
MUST_CHECK int seal_of_snapshot(struct store *store, const struct uuid *snapshot,
				struct seal *ret_seal);

/* The seal record SEQUENCE.  -ENOENT; -EBADMSG: not a whole record, or a tombstone. */
MUST_CHECK int seal_load(struct store *store, uint64_t sequence, struct seal *ret_seal);

/* What is there under one number of the chain. */
enum seal_entry_kind { SEAL_ENTRY_SEAL, SEAL_ENTRY_TOMBSTONE, SEAL_ENTRY_MISSING, SEAL_ENTRY_BAD };

/*
 *   snapshot, name   of a seal or tombstone; name "" and zero otherwise
 *   is_deleted       of a seal: a trusted tombstone names it
 *   fault            NULL, or what is wrong: not whole, a wrong `previous`, missing, another root than this host remembers
 */
struct seal_entry {
	uint64_t sequence;
	enum seal_entry_kind kind;
	struct uuid snapshot;
	const char *name;
	bool is_deleted;
	enum trust_origin origin;
	uint8_t root[SEAL_ROOT_SIZE];
	const char *fault;
};

/* Every number from 1 to the highest that is there or that this host has seen, in order, as found on storage now. */
MUST_CHECK int seal_each(struct store *store,
			 int (*visit)(void *arg, const struct seal_entry *entry), void *arg);

/* ---- Sealing (seal.c) ---------------------------------------------------------------------------------------------- */

/*
 * Progress and, in a mount, the end of all use of what is being sealed.
 *
 *   accepts_changed   seal files as they are on storage, also where this host wrote something else
 *   quiesce    nothing of the snapshot, nor under one of DEKS, is open for writing or being changed when it returns; new
 *              changes are refused already.  NULL: nobody else has the volume open
 *   progress   called now and then; may be NULL
 */
struct seal_options {
	bool seals_dependencies; /* open snapshots that files of this one are linked from: those first */
	bool accepts_changed;
	int (*quiesce)(void *arg, struct snapshot *snapshot, const struct uuid *deks, size_t count);
	void (*sealed)(void *arg, struct snapshot *snapshot);
	void (*progress)(void *arg, const struct snapshot *snapshot, uint64_t files,
			 uint64_t bytes);
	void *arg;
};

/*
 * Seal a snapshot: everything durable, manifest, seal record.  The mount's callers get EROFS from its beginning on; if it
 * fails, they may write again.
 *
 *   ret_seal   seal_free(); with seals_dependencies, those of the others are reported through SEALED
 *
 * -EROFS: sealed already, or the store is read-only; -EXDEV: depends on an open snapshot, text names it; -EBADMSG: content
 * is not authentic or not whole, or it is and this host has written something else there since (an older version was put
 * back); text names the path, and each is reported.
 */
MUST_CHECK int snapshot_seal(struct snapshot *snapshot, const struct seal_options *options,
			     struct seal *ret_seal, struct store_error *reterr);

/* Add a tombstone for a snapshot that is about to be deleted.  From then on its seal forbids nothing. */
MUST_CHECK int snapshot_bury(struct snapshot *snapshot, const char *reason,
			     const struct uuid *shredded, size_t shredded_count);

#endif
