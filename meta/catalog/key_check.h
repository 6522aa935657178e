/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May a key be deleted?  Decides from what the catalogue says and from what was seen of the volumes; no I/O.
 *
 * "Not needed" is said only when there is no doubt about any volume; that something is needed is said whatever else is unknown.
 */
#ifndef SNAPCRYPT_META_CATALOG_KEY_CHECK_H
#define SNAPCRYPT_META_CATALOG_KEY_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/catalog/catalog.h"
#include "meta/exit_code.h"

/* A clock of another host may be this much ahead. */
#define KEY_CHECK_SKEW_S 300

/* What was seen of a volume just now. */
enum key_check_look {
	LOOK_ELSEWHERE,   /* it belongs to another host: only the catalogue knows */
	LOOK_SAME,        /* as it was when it was scanned */
	LOOK_CHANGED,     /* not any more */
	LOOK_UNREACHABLE, /* not there, another volume, or it could not be read */
	LOOK_SCANNED,     /* scanned just now, and stored */
};

/* Why nothing can be said about a volume: meta/NAMES.md, "Doubts". */
enum key_check_doubt {
	DOUBT_NONE,
	DOUBT_UNREACHABLE,
	DOUBT_NEVER,
	DOUBT_FAILED,
	DOUBT_OLD,
	DOUBT_CHANGED,
	DOUBT_INCOMPLETE,
	DOUBT_DAMAGED,
	DOUBT_UNREGISTERED,
};
const char *key_check_doubt_name(enum key_check_doubt doubt);

/* MAX_AGE_S below 0: no limit. */
struct key_check_limits {
	int64_t now_s;
	int64_t max_age_s;
};
enum key_check_doubt key_check_volume(const struct catalog_volume *volume, enum key_check_look look,
				      const struct key_check_limits *limits);

/*
 * What was found, for key_check_decide().
 *
 *   needed_count    snapshots whose primary slot is under the key, and volumes whose new snapshots would be
 *   volume_count    volumes that the answer is about
 *   doubt_count     of them, those with a doubt; unregistered ones included
 *   is_declared     the catalogue is complete: catalog_scope = fleet, or the answer is about this host only
 */
struct key_check_facts {
	uint64_t needed_count;
	uint64_t volume_count;
	uint64_t doubt_count;
	bool is_declared;
};
enum exit_code key_check_decide(const struct key_check_facts *facts);

/* ---- Which key is meant ------------------------------------------------------------------------------------------ */

/* KEY_ID: canonical, or "".  ALIAS: as slots store it, or "".  Either suffices. */
struct key_asked {
	char key_id[KEY_ID_SIZE];
	char alias[KEY_ID_SIZE];
};
bool key_asked_matches(const struct key_asked *asked, const struct need_key *key);

#endif
