/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log: what this host did with keys, one JSON object a line, each with the hash of the one before.
 *
 * A line is
 *     {"sequence":N,"previous":"HASH",...,"hash":"HASH"}
 * and its hash is SHA-256 of all before `,"hash"`.  The number and hash of the last line are kept in STATE/audit.head, too, so
 * that lines cut off at the end are missed.  Several processes append to one log: STATE/audit.head is their lock.
 *
 * A crash leaves at most one line that is cut; the next line names its size ("torn").  A line that continues without a usable
 * audit.head says so ("head_lost").  A log of 64 MiB is renamed to PATH.SEQUENCE (of its first line) and never touched again; the
 * chain goes on in a new file.
 *
 * Thread-safe.  Nothing secret is written: ids, names of keys, request ids, and the words of an error.
 */
#ifndef SNAPCRYPT_KMS_AUDIT_H
#define SNAPCRYPT_KMS_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kms/error.h"
#include "meta/macros.h"
#include "meta/records/key_record.h"
#include "meta/uuid.h"

#define AUDIT_HASH_SIZE 65 /* hex, and the NUL */

struct audit;

/* meta/NAMES.md, "Audit operations". */
enum audit_operation {
	AUDIT_WRAP,
	AUDIT_UNWRAP,
	AUDIT_REWRAP,
	AUDIT_SLOT_ADD,
	AUDIT_SLOT_REMOVE,
	AUDIT_PROBE_FAILED,
	AUDIT_REVOCATION,
	AUDIT_RECOVERY,
	AUDIT_RECOVERY_KEY_USED,
	AUDIT_TRUST,
	AUDIT_SEAL,
	AUDIT_DELETE,
	AUDIT_SHRED,
	AUDIT_RESTORE,
	AUDIT_POLICY,
};

const char *audit_operation_name(enum audit_operation operation);

/*
 *   path       the log; its directory exists, or is the state directory
 *   state_dir  made (0700) at the first line
 *   command    what this process was started as: "mount", "keys rewrap"; NULL: not said
 *   blocks     audit_append() fails when the line cannot be written; else it warns
 *   warn       told the first of several failures; NULL: nobody is told
 */
struct audit_options {
	const char *path;
	const char *state_dir;
	const char *command;
	bool blocks;
	void (*warn)(void *arg, const char *text);
	void *arg;
};

/* Copies its options.  No file is touched.  -ENOMEM. */
MUST_CHECK int audit_open(const struct audit_options *options, struct audit **ret_audit);
void audit_close(struct audit *audit); /* accepts NULL */

/*
 * One line.  NULL members are left out.
 *
 *   outcome   how it ended; NULL or code 0: well
 *   slot      gives volume, snapshot, data key, slot, role, provider and key; else those below are used
 *   detail    more, for people
 */
struct audit_entry {
	enum audit_operation operation;
	const struct kms_error *outcome;
	const struct slot *slot;
	const struct uuid *volume;
	const struct uuid *snapshot;
	const struct uuid *data_key;
	const char *key_id;
	const char *detail;
};

/*
 * Durable when it returns.  AUDIT may be NULL: nothing is done.  A negative errno only if the options say that it blocks: what was
 * to be written down must not be done.
 */
MUST_CHECK int audit_append(struct audit *audit, const struct audit_entry *entry);

/* ---- Reading ---- */

/*
 *   text      the line without its end, or NULL for what is not a line
 *   finding   what is wrong with it, or with what is missing before it; NULL: nothing
 *   note      what is unusual and explained; NULL: nothing
 */
struct audit_line {
	const char *file;
	uint64_t number;
	const char *text;
	size_t size;
	const char *finding;
	const char *note;
};

/*
 *   first, last   sequence numbers; 0: there is no line
 *   head          hash of the last line
 */
struct audit_summary {
	uint64_t lines;
	uint64_t first;
	uint64_t last;
	uint64_t findings;
	char head[AUDIT_HASH_SIZE];
};

/*
 * Read the whole log with its older files, oldest first, and check the chain.  A line after which SEE returns non-zero is the
 * last; that value is returned.  A log that does not exist has no lines.
 */
MUST_CHECK int audit_read(const struct audit_options *options,
			  int (*see)(void *arg, const struct audit_line *line), void *arg,
			  struct audit_summary *ret_summary);

#endif
