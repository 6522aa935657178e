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

#include "kms/dek_ring.h"
#include "meta/format/layout.h"
#include "meta/macros.h"
#include "meta/records/volume_record.h"
#include "meta/uuid.h"

struct store;
struct trust;      /* fs/store/trust.h: writer key, trusted writers, pins */
struct journal;    /* fs/store/journal.h */
struct recovery;   /* fs/store/journal.h */

enum store_access { STORE_READ, STORE_WRITE };

/* One line for the operator, and what to do; filled on failure. */
struct store_error {
	int code;                 /* negative errno */
	int exit_code;            /* meta/NAMES.md, "Exit codes" */
	char text[1024];
	char advice[512];
};

struct store_options {
	enum store_access access;
	bool can_block;                 /* commands: true; the mount: false */
	bool is_write_only;
	struct trust *trust;            /* borrowed */
	struct kms *kms;                /* borrowed, KEKs already added */
	const struct volume_record *expected;  /* pinned or configured settings; NULL: take the volume's (read-only) */
	const char *default_key;        /* KEK URI for new DEKs; NULL when read-only */
	/* A finding worth a log line: FORMAT is printf-like, PATH is the backing path below the root. */
	void (*report)(void *arg, int priority, const char *path, const char *text);
	void *report_arg;
};

/*
 * Open the volume at BACKING (an open directory descriptor, kept by the store).
 * -ENOMEDIUM: not a volume (exit 10); -EUCLEAN: differs from what is pinned, text names the field (exit 21 or 5);
 * -EWOULDBLOCK: locked by another writer (exit 11), text names host and pid; -ENOTSUP: newer format (exit 15).
 */
MUST_CHECK int store_open(int backing_fd, const struct store_options *options, struct store **ret_store,
			  struct store_error *reterr);

/* Flush, checkpoint, release the lock, wipe.  Returns the first error of the final flush. */
int store_close(struct store *store);

int store_root_fd(const struct store *store);
const struct volume_record *store_volume(const struct store *store);
const struct layout *store_layout(const struct store *store);
bool store_is_encrypted(const struct store *store);
bool store_is_writable(const struct store *store);
struct dek_ring *store_deks(struct store *store);
struct journal *store_journal(struct store *store);    /* NULL on read-only stores */
struct recovery *store_recovery(struct store *store);  /* what dead mounts left; NULL: nothing */
const struct uuid *store_mount_id(const struct store *store);

/* Which DEK made the last call on this thread return -EAGAIN. */
const struct uuid *store_wanted_dek(void);

/* A DEK for reading, or for writing under it: trusted (architecture section 5) and not sealed.  -EAGAIN, -EACCES, -EROFS ... */
MUST_CHECK int store_dek(struct store *store, const struct uuid *dek_id, struct dek **ret_dek);
MUST_CHECK int store_dek_for_write(struct store *store, const struct uuid *dek_id, struct dek **ret_dek);

/* Log one finding through options.report. */
__attribute__((format(printf, 4, 5)))
void store_report(struct store *store, int priority, const char *path, const char *format, ...);

#endif
