/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keys the snapshots of one volume need, as read from its storage (fs/store/need_scan.h) and as the catalogue keeps it.
 *
 * A list is filled with the need_list_...() functions and then finished once; it is not thread-safe.
 */
#ifndef SNAPCRYPT_META_CATALOG_NEED_H
#define SNAPCRYPT_META_CATALOG_NEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/macros.h"
#include "meta/records/identity.h"
#include "meta/records/key_record.h"
#include "meta/uuid.h"

#define NEED_FINGERPRINT_SIZE 65

/* A key as slots name it.  ALIAS: as it was configured, where that differs; else "".  All owned. */
struct need_key {
	char *provider;
	char *key_id;
	char *alias;
};

/*
 * What needs keys.  NAME is a path below the root, owned: "." for the root snapshot.
 *
 *   is_present   false: only its seal record is left
 *   is_foreign   a directory without an identity: ID is zero, and KIND says nothing
 *   sealed_s     0: not sealed
 */
struct need_snapshot {
	struct uuid id;
	char *name;
	enum identity_kind kind;
	bool is_present;
	bool is_foreign;
	bool is_encrypted;
	int64_t created_s;
	int64_t sealed_s;
};

/* Snapshot and key by index; how many data keys with a slot of that role. */
struct need_use {
	uint32_t snapshot;
	uint32_t key;
	enum slot_role role;
	uint64_t dek_count;
};

/*
 *   default_key_id     of new snapshots; "": none
 *   scanned_s          when the scan began
 *   fingerprint        of the volume at that time (need_fingerprint())
 *   damaged_count      objects of encrypted snapshots that do not say which data key they are under
 *   unusable_count     data keys in need whose key record cannot be read
 *   unreadable_count   directories and objects that could not be read
 *   is_stable          false: it changed too much while it was scanned
 */
struct need_list {
	struct uuid volume;
	bool is_encrypted;
	char default_key_id[KEY_ID_SIZE];
	int64_t scanned_s;
	char fingerprint[NEED_FINGERPRINT_SIZE];
	uint64_t damaged_count;
	uint64_t unusable_count;
	uint64_t unreadable_count;
	bool is_stable;
	struct need_key *keys;
	size_t key_count;
	struct need_snapshot *snapshots;
	size_t snapshot_count;
	struct need_use *uses;
	size_t use_count;
};

/* Zero-initialise a list; this frees what it owns and makes it empty again. */
void need_list_free(struct need_list *list);

/* Add a key, or find it: its index.  NULL alias: none. */
MUST_CHECK int need_list_add_key(struct need_list *list, const char *provider, const char *key_id,
				 const char *alias, uint32_t *ret_index);

/* Add a copy of SNAPSHOT: its index. */
MUST_CHECK int need_list_add_snapshot(struct need_list *list, const struct need_snapshot *snapshot,
				      uint32_t *ret_index);

/* One more data key of a snapshot that has a slot under a key. */
MUST_CHECK int need_list_add_use(struct need_list *list, const struct need_use *use);

/* Join uses of the same snapshot, key and role, and sort. */
void need_list_finish(struct need_list *list);

/* Does every snapshot say what it needs? */
bool need_list_is_complete(const struct need_list *list);

#endif
