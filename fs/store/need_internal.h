/* SPDX-License-Identifier: Apache-2.0 */
/* A scan for needed data keys, for need_*.c only. */
#ifndef SNAPCRYPT_FS_STORE_NEED_INTERNAL_H
#define SNAPCRYPT_FS_STORE_NEED_INTERNAL_H

#include <pthread.h>
#include <sys/stat.h>
#include <uthash.h>

#include "fs/store/need_scan.h"

#define NEED_PATH_ROOT "."

/* That a snapshot (by index) needs a data key. */
struct need_pair_key {
	struct uuid dek;
	uint64_t snapshot;
};
struct need_pair {
	struct need_pair_key key;
	UT_hash_handle hh;
};

/* A snapshot-level directory, the root, or what only a seal record names (path NULL). */
struct need_place {
	char *path; /* below the root; owned */
	char *sealed_name;
	dev_t device;
	ino_t inode;
	struct uuid id;
	bool has_identity;
	enum identity_kind kind;
	bool is_encrypted;
	struct uuid dek;
	int64_t created_s;
	int64_t sealed_s;
	int64_t period_s;
	bool is_walked;
	bool is_seen;         /* in the listing that is being made */
	uint64_t fingerprint; /* of its directories, as they were when they were walked */
	uint64_t damaged;
	uint64_t unreadable;
};

/* A data key with what its record says.  A record that cannot be read: not usable. */
struct need_slot {
	uint32_t key; /* in the list */
	enum slot_role role;
};
struct need_record {
	struct uuid dek;
	struct uuid owner;
	int64_t period_start_s;
	bool is_usable;
	struct need_slot *slots;
	size_t slot_count;
	UT_hash_handle hh;
};

struct need_scan {
	int root_fd;
	int control_fd;
	struct trust *trust;
	struct uuid volume;
	unsigned depth;
	int64_t now_s;
	struct need_list *list;
	struct need_place *places;
	size_t place_count;
	struct need_record *records;
	uint64_t unreadable; /* beside those of places */

	pthread_mutex_t lock; /* guards what threads of a walk share */
	struct need_pair *pairs;
};

/* ---- need_walk.c ------------------------------------------------------------------------------------------------- */

/*
 * Walk places (by index) with several threads: every object is looked at, and fingerprint, damaged and unreadable are those of
 * this walk.
 */
MUST_CHECK int need_walk(struct need_scan *scan, const size_t *places, size_t count);

/* The fingerprint of a place's directories now; no object is looked at. */
MUST_CHECK int need_walk_directories(struct need_scan *scan, size_t place,
				     uint64_t *ret_fingerprint);

/* ---- need_object.c ----------------------------------------------------------------------------------------------- */

/* What one thread has: where DEKs are noted, and room for values. */
struct need_reader {
	struct need_scan *scan;
	size_t place;
	bool has_last;
	struct need_pair_key last;
	uint64_t damaged;
	uint64_t unreadable;
	char *names;
	uint8_t *value;
};

/* Every DEK of the object NAME in the directory open at PARENT_FD. */
MUST_CHECK int need_read_object(struct need_reader *reader, int parent_fd, const char *name,
				mode_t type);
/* Those of the attributes of the directory open at FD. */
MUST_CHECK int need_read_directory(struct need_reader *reader, int fd);

/* ---- need_places.c ----------------------------------------------------------------------------------------------- */

/* List the snapshot-level directories, adding those that are new. */
MUST_CHECK int need_list_places(struct need_scan *scan);

/* The place with that id that exists (NULL: none). */
struct need_place *need_find_place(const struct need_scan *scan, const struct uuid *id);

MUST_CHECK int need_add_place(struct need_scan *scan, const struct need_place *place,
			      struct need_place **ret_place);

/* ---- need_records.c ---------------------------------------------------------------------------------------------- */

/* Read the key records that are not known yet. */
MUST_CHECK int need_read_records(struct need_scan *scan);

/* The seal records without a tombstone: their data keys, and when their snapshots were sealed. */
MUST_CHECK int need_read_seals(struct need_scan *scan);

/* Snapshots that a data key's needed-by markers name; free() the array. */
MUST_CHECK int need_read_markers(struct need_scan *scan, const struct uuid *dek,
				 struct uuid **ret_snapshots, size_t *ret_count);

/* ---- need_scan.c ------------------------------------------------------------------------------------------------- */

/* Note a pair.  Thread-safe. */
MUST_CHECK int need_note(struct need_scan *scan, size_t place, const struct uuid *dek);

#endif
