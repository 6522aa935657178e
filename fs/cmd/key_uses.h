/* SPDX-License-Identifier: Apache-2.0 */
/* What needs a key, over all volumes of the catalogue: for keys usage and keys check. */
#ifndef SNAPCRYPT_FS_CMD_KEY_USES_H
#define SNAPCRYPT_FS_CMD_KEY_USES_H

#include "fs/cmd/cataloging.h"
#include "fs/document.h"

/* One snapshot with a slot under the key.  All owned; VOLUME borrowed from the list. */
struct key_use {
	int64_t number;
	const struct catalog_volume *volume;
	char *key_id;
	struct need_snapshot snapshot;
	enum slot_role role;
	uint64_t dek_count;
};
struct key_uses {
	struct key_use *uses;
	size_t count;
};

/*
 * Which key TEXT names: an Encryption Key ID, an URI (the service is asked for its id), or an alias.  0, or an exit code that
 * is reported.
 */
MUST_CHECK int key_uses_resolve(struct session *session, const char *text,
				struct key_asked *ret_asked);

/* All uses of it on registered VOLUMES, by host, path and snapshot.  0, or an exit code that is reported. */
MUST_CHECK int key_uses_find(struct session *session, struct catalog *catalog,
			     const struct key_asked *asked, const struct catalog_volumes *volumes,
			     struct key_uses *ret_uses);
void key_uses_free(struct key_uses *uses);

/* Would new snapshots of the volume be under the key? */
bool key_uses_is_default(const struct key_asked *asked, const struct catalog_volume *volume);

/* The members of one use. */
void key_use_json(const struct key_use *use, struct json_object *object);

/* Print those that IS_WANTED accepts (NULL: all) as a table.  Negative errno. */
MUST_CHECK int key_uses_print(const struct key_uses *uses, bool (*is_wanted)(enum slot_role role));

#endif
