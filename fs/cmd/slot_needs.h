/* SPDX-License-Identifier: Apache-2.0 */
/* Which snapshots have a slot under some keys: what `keys rewrap` ends with. */
#ifndef SNAPCRYPT_FS_CMD_SLOT_NEEDS_H
#define SNAPCRYPT_FS_CMD_SLOT_NEEDS_H

#include "fs/store/store.h"
#include "meta/records/key_record.h"

/* One key and the snapshots that need it; may hold one of them twice until slot_needs_sort(). */
struct slot_need {
	char key_id[KEY_ID_SIZE];
	struct uuid *snapshots;
	size_t count;
};

struct slot_needs {
	struct slot_need *needs;
	size_t count;
};

void slot_needs_free(struct slot_needs *needs);

/* The entry of a key, made if it is not there.  NULL: out of memory. */
struct slot_need *slot_needs_get(struct slot_needs *needs, const char *key_id);

/* The snapshot of RECORD, and those with files under its DEK, need it for NEED. */
MUST_CHECK int slot_need_add(struct slot_need *need, struct store *store,
			     const struct key_record *record);

void slot_needs_sort(struct slot_needs *needs);

/* Snapshots of BEFORE that are not in AFTER (sorted both). */
size_t slot_need_count_freed(const struct slot_need *before, const struct slot_need *after);

#endif
