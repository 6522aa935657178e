/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An opened volume: the engine below mount, restore, verify and the other commands.  Knows neither FUSE nor the command
 * line.  Thread-safe unless a function says otherwise.
 *
 * Waiting for keys: with can_block false (a mount), an operation that needs a DEK which is not open returns -EAGAIN after
 * asking for it; store_wanted_dek() tells which, on the same thread; the caller waits with dek_ring_wait() and runs the
 * whole operation again.  No operation has side effects before all of its DEKs are there.
 */
#ifndef SNAPCRYPT_FS_STORE_STORE_H
#define SNAPCRYPT_FS_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/store/trust.h"
#include "kms/dek_ring.h"
#include "meta/exit_code.h"
#include "meta/format/layout.h"
#include "meta/macros.h"
#include "meta/records/volume_record.h"
#include "meta/uuid.h"

struct store;
struct journal;  /* fs/store/journal.h */
struct recovery; /* fs/store/journal.h */

enum store_access { STORE_READ, STORE_WRITE };

/* One line for the operator, and what to do; filled on failure. */
struct store_error {
	int code;      /* negative errno */
	int exit_code; /* meta/NAMES.md, "Exit codes" */
	char text[1024];
	char advice[512];
};

/* Fill ERROR (may be NULL) and return CODE. */
__attribute__((format(printf, 4, 5))) int store_fail(struct store_error *reterr, int code,
						     enum exit_code exit_code, const char *format,
						     ...);

/* Add what to do next. */
__attribute__((format(printf, 2, 3))) void store_advise(struct store_error *reterr,
							const char *format, ...);

/*
 * Whose settings count: what the configuration says (`expected`, the fields in `expected_fields`), then the pinned copy, which
 * the store looks up itself through `trust`, then a record signed by a trusted writer, which is pinned when it is newer.  A
 * writable store is refused while any of the fields that decide where plaintext goes comes from none of them.
 */
struct store_options {
	enum store_access access;
	bool can_block; /* commands: true; the mount: false */
	bool is_write_only;
	bool replaces_lease; /* another host's lease, where locks may not reach it: take it over */
	struct trust *trust; /* borrowed */
	struct kms *kms;     /* borrowed, KEKs already added */
	const struct volume_record *expected; /* what the configuration says; NULL: nothing */
	unsigned expected_fields;             /* VOLUME_FIELD_... that are set in it */
	const char *default_key; /* KEK URI for new DEKs; NULL: that of the settings that count */
	unsigned spare_keys;     /* DEKs made ahead for the next new snapshots; 0 for commands */
	/* A finding worth a log line: PRIORITY as in syslog(3), PATH is the backing path below the root. */
	void (*report)(void *arg, int priority, const char *path, const char *text);
	void *report_arg;
};

/*
 * Open the volume at BACKING (an open directory descriptor, duplicated).
 * -ENOMEDIUM: not a volume (exit 10); -EUCLEAN: differs from what is pinned or configured, text names the field (exit 21);
 * -EACCES: origin not trusted although it must be (exit 21); -EWOULDBLOCK: locked by another writer (exit 11), text names
 * host and pid; -ENOTSUP: newer format (exit 15).
 */
MUST_CHECK int store_open(int backing_fd, const struct store_options *options,
			  struct store **ret_store, struct store_error *reterr);

/* What a volume says about itself, without opening it: for `volume show`, `volume trust` and the choice of the KEKs. */
struct store_description {
	struct volume_record record; /* the one that counts; volume_record_free() */
	uint64_t highest_generation; /* well-formed ones of any writer included */
	enum trust_origin origin;
	char writer[WRITER_FINGERPRINT_SIZE];
};
MUST_CHECK int store_describe(int backing_fd, struct trust *trust,
			      struct store_description *ret_description,
			      struct store_error *reterr);

/* Flush, checkpoint, release the lock, wipe.  Returns the first error of the final flush. */
int store_close(struct store *store);

int store_root_fd(const struct store *store);
const struct volume_record *store_volume(const struct store *store);
const struct layout *store_layout(const struct store *store);
bool store_is_encrypted(const struct store *store);
bool store_is_writable(const struct store *store);
struct dek_ring *store_deks(struct store *store);
struct journal *store_journal(struct store *store); /* NULL on read-only and on unencrypted stores */
struct recovery *store_recovery(struct store *store); /* what dead mounts left; NULL: nothing */
const struct uuid *store_mount_id(const struct store *store);

/* Which DEK (or ticket of one to be made, kms/dek_ring.h) made the last call on this thread return -EAGAIN. */
const struct uuid *store_wanted_dek(void);

/* A DEK for reading, or for writing under it: trusted (architecture section 5) and not sealed.  -EAGAIN, -EACCES, -EROFS ... */
MUST_CHECK int store_dek(struct store *store, const struct uuid *dek_id, struct dek **ret_dek);
MUST_CHECK int store_dek_for_write(struct store *store, const struct uuid *dek_id,
				   struct dek **ret_dek);

/* From now on nothing is opened for writing under a DEK, giving ERROR; 0: it may be again. */
void store_refuse_writes(struct store *store, const struct uuid *dek_id, int error);

/* Is the snapshot, or anything under the DEK, covered by a seal record without a tombstone? */
bool store_dek_is_sealed(struct store *store, const struct uuid *dek_id);
bool store_snapshot_is_sealed(struct store *store, const struct uuid *snapshot);

/*
 * The key record that counts for a DEK, and whose it is: the highest generation with a trusted signature, else the highest
 * well-formed.  -ENOENT; -EBADMSG: below what this host has seen.  RET_ORIGIN may be NULL.
 */
MUST_CHECK int store_key_record(struct store *store, const struct uuid *dek_id,
				struct key_record *ret_record, enum trust_origin *ret_origin);

/*
 * Store RECORD as the next generation of its open DEK (keys add, remove and rewrap): fills generation, created and MAC, signs,
 * publishes, pins.  -EACCES: a DEK that is not trusted here.
 */
MUST_CHECK int store_publish_key_record(struct store *store, struct key_record *record,
					const struct dek *dek);

/*
 * Key records of a DEK: how many generations there are, and removing those below GENERATION, which has been read back and opened.
 * Durable when it returns.
 */
MUST_CHECK int store_count_key_records(struct store *store, const struct uuid *dek_id,
				       size_t *ret_count);
MUST_CHECK int store_drop_key_records(struct store *store, const struct uuid *dek_id,
				      uint64_t generation);

/* The settings that count now: unlike those of store_volume(), with what was published since the store was opened. */
MUST_CHECK int store_copy_volume(struct store *store, struct volume_record *ret_record);

/* Store RECORD as the next generation of the volume's settings, signed and pinned (keys set-default, snapshot adopt). */
MUST_CHECK int store_publish_volume_record(struct store *store, struct volume_record *record);

/* ---- What somebody who watches the keys wants to know at once ----------------------------------------------------- */

/*
 *   strayed    an alternate slot opened the DEK, because its primary is unreachable
 *   refused    the primary of such a DEK has said no since: it is to be withdrawn
 *   rewrapped  the slots of the DEK are others now
 */
enum store_key_event { STORE_KEY_STRAYED, STORE_KEY_REFUSED, STORE_KEY_REWRAPPED };

/*
 * WATCH is called on any thread and holds up nobody; what had strayed before is told first.  NULL: nobody watches; then a DEK that
 * is refused is withdrawn from this store.
 */
void store_watch_keys(struct store *store,
		      void (*watch)(void *arg, const struct uuid *dek_id,
				    enum store_key_event event),
		      void *arg);

/* Log one finding through options.report. */
__attribute__((format(printf, 4, 5))) void store_report(struct store *store, int priority,
							const char *path, const char *format, ...);

/* ---- Making a volume (volume_init.c) ------------------------------------------------------------------------------ */

/*
 *   settings    block_size, algorithm, names, depth, encryption, default_key and its id, recovery keys, seal_on,
 *               delete_sealed, host; the rest is filled
 *   backing     absolute path, for the pin
 *
 * Directories that are already there at snapshot depth become plaintext snapshots.  -ENOTEMPTY: something else is there;
 * -EEXIST: it is a volume already.  RET_RECORD: the record as written; volume_record_free().
 */
struct store_init_options {
	struct trust *trust;
	const struct volume_record *settings;
	const char *backing;
};
MUST_CHECK int store_init(int backing_fd, const struct store_init_options *options,
			  struct volume_record *ret_record, struct store_error *reterr);

#endif
