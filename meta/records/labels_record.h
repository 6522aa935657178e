/* SPDX-License-Identifier: Apache-2.0 */
/* A labels record: tags, holds and the own retention of a snapshot.  Format: meta/FORMAT.md, section 9.5. */
#ifndef SNAPCRYPT_META_RECORDS_LABELS_RECORD_H
#define SNAPCRYPT_META_RECORDS_LABELS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define LABELS_TAGS_MAX   64
#define LABELS_HOLDS_MAX  64
#define LABEL_SIZE_MAX    256
#define LABEL_REASON_SIZE 1024

/* While there is one, the snapshot is not deleted.  Both owned. */
struct label_hold {
	char *name;
	char *reason; /* "" where none was given */
	int64_t since_s;
};

struct labels_record {
	uint64_t generation;
	struct uuid volume;
	struct uuid snapshot;
	int64_t written_s;
	char **tags; /* owned */
	size_t tag_count;
	struct label_hold *holds; /* owned */
	size_t hold_count;
	int64_t keep_until_s; /* its own retention in place of the rules; 0: none */
};

void labels_record_free(struct labels_record *record); /* what it owns, not the struct */

/* Line 1; free() it.  -EINVAL, -ENOMEM. */
MUST_CHECK int labels_record_encode(const struct labels_record *record, char **ret_line);
MUST_CHECK int labels_record_decode(struct bytes line, struct labels_record *ret_record);

/* A tag is NAME or NAME=VALUE.  -EEXIST: one of that name is there already; -E2BIG: there are too many; -EINVAL: empty, too long, or control characters. */
MUST_CHECK int labels_record_add_tag(struct labels_record *record, const char *tag);
MUST_CHECK int labels_record_add_hold(struct labels_record *record, const char *name,
				      const char *reason, int64_t since_s);
/* -ENOENT */
MUST_CHECK int labels_record_remove_tag(struct labels_record *record, const char *name);
MUST_CHECK int labels_record_remove_hold(struct labels_record *record, const char *name);

#endif
