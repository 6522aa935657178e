/* SPDX-License-Identifier: Apache-2.0 */
/* What is listed of one snapshot. */
#ifndef SNAPCRYPT_FS_CMD_SNAPSHOT_ROW_H
#define SNAPCRYPT_FS_CMD_SNAPSHOT_ROW_H

#include "fs/cmd/usage.h"
#include "fs/document.h"
#include "fs/store/labels.h"
#include "fs/store/seal.h"
#include "fs/store/snapshot.h"

/*
 * All owned.
 *
 *   retention   of a listing: why prune would keep it now, "next prune" or "no rules"; NULL: not known, or none of its business
 *   expires_s   when its own retention or keep_within ends, if that decides; else 0
 */
struct snapshot_row {
	char *name;
	struct uuid id;
	enum snapshot_kind kind;
	enum snapshot_state state;
	int64_t created_s;
	bool has_seal;
	struct seal seal; /* has_seal: the one that counts */
	bool is_encrypted;
	bool is_trusted;
	bool is_counted;
	struct usage usage;
	char **key_ids;
	size_t key_id_count;
	int64_t period_s;            /* streams and root; else 0 */
	struct labels_record labels; /* of generation 0 where there are none */
	char *retention;
	int64_t expires_s;
	char writer[WRITER_FINGERPRINT_SIZE]; /* "" where there is none */
};

struct snapshot_rows {
	struct snapshot_row *rows;
	size_t count;
};

/* Read SNAPSHOT, whose directory is open at FD.  Asks no key service. */
MUST_CHECK int snapshot_row_read(struct store *store, struct snapshot *snapshot, int fd,
				 struct snapshot_row *ret_row);

/* Every snapshot by name, after the root if that holds anything. */
MUST_CHECK int snapshot_rows_read(struct store *store, struct snapshot_rows *ret_rows);
void snapshot_row_free(struct snapshot_row *row);
void snapshot_rows_free(struct snapshot_rows *rows);

/* All key ids joined by a comma, or "Not enabled"; free() it. */
char *snapshot_row_keys(const struct snapshot_row *row);

/* Does it depend on a key with this id? */
bool snapshot_row_needs_key(const struct snapshot_row *row, const char *key_id);

const char *snapshot_kind_word(enum snapshot_kind kind);

/* The name that it had when it was sealed, if that is another; else NULL. */
const char *snapshot_row_was(const struct snapshot_row *row);

/* The members that `snapshot list` and `snapshot show` have in common. */
void snapshot_row_json(const struct snapshot_row *row, struct json_object *object);

#endif
