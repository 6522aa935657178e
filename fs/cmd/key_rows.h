/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that this host knows: named on it, in its keyring, or in slots of volumes. */
#ifndef SNAPCRYPT_FS_CMD_KEY_ROWS_H
#define SNAPCRYPT_FS_CMD_KEY_ROWS_H

#include "fs/cmd/session.h"
#include "fs/document.h"
#include "kms/provider.h"

/*
 *   uri        as it was named here; "": known from slots only
 *   info       key_id, and state, version and times as far as they are known
 *   snapshots  how many need it, on the volumes that were looked at
 *   is_old     new slots are under another version: rewrap recommended
 */
struct key_row {
	char uri[KEY_ID_SIZE];
	char provider[KEY_PROVIDER_SIZE];
	struct kms_key_info info;
	int64_t since_s;
	uint64_t snapshots;
	bool is_old;
};

struct key_rows {
	struct key_row *rows;
	size_t count;
};

/*
 * Collect the keys named on this host.  Those of the keyring are always asked, because that needs no
 * network; others only with IS_LIVE, else the last definite answer is shown.  After session_open_kms().
 */
MUST_CHECK int key_rows_collect(struct session *session, bool is_live, struct key_rows *rows);

/* Add the keys in slots of the opened volume, and count the snapshots that need each. */
MUST_CHECK int key_rows_add_volume(struct session *session, struct key_rows *rows);
void key_rows_free(struct key_rows *rows);

/* The row that an Encryption Key ID or a URI names, or NULL. */
const struct key_row *key_rows_find(const struct key_rows *rows, const char *text);

/* The members of one key. */
void key_row_json(const struct key_row *row, struct json_object *object);

#endif
