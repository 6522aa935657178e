/* SPDX-License-Identifier: Apache-2.0 */
/* One run of keys check: what was found, and saying it. */
#ifndef SNAPCRYPT_FS_CMD_KEYS_CHECK_H
#define SNAPCRYPT_FS_CMD_KEYS_CHECK_H

#include "fs/cmd/catalog_rebuild.h"
#include "fs/cmd/key_uses.h"

/* What is known of one volume.  UNREGISTERED: its place, which the catalogue does not have. */
struct check_volume {
	const struct catalog_volume *volume;
	const char *unregistered;
	struct uuid unregistered_id;
	enum key_check_look look;
	enum key_check_doubt doubt;
	bool is_default;
	char text[512];
};

struct check {
	struct session session;
	struct catalog *catalog;
	struct key_asked asked;
	bool is_host_only;
	bool is_declared;
	struct catalog_volumes all;
	struct known_places known;
	struct check_volume *volumes;
	size_t count;
	struct key_uses uses;
	struct key_check_facts facts;
	uint64_t redundant_count;
};

/* Does a slot of that role decide?  The others are redundancy. */
bool keys_check_is_needed(enum slot_role role);

/* Print the answer and report it.  An exit code. */
MUST_CHECK int keys_check_answer(struct check *check);

#endif
