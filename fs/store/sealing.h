/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot that is being sealed; for fs/store/seal*.c only. */
#ifndef SNAPCRYPT_FS_STORE_SEALING_H
#define SNAPCRYPT_FS_STORE_SEALING_H

#include <uthash.h>

#include "fs/store/place.h"
#include "fs/store/seal_internal.h"
#include "fs/store/seal_spool.h"
#include "meta/format/header.h"
#include "meta/format/manifest.h"

#define SEALING_OLDER_MAX 4

/* An inode with further names: its object. */
struct sealing_link {
	uint64_t inode;
	uint64_t object;
	uint32_t count;
	UT_hash_handle hh;
};

/* An older manifest: which object has which object id. */
struct older_manifest;
struct tag_memory;

/*
 *   deks       index 0 is the snapshot's own
 *   queue      directories that are still to be read: object, length of the path, backing path
 *   open_dek   of another open snapshot that a file is under; zero: none
 */
struct sealing {
	struct store *store;
	struct snapshot *snapshot;
	const struct seal_options *options;
	struct store_error *reterr;
	int snapshot_fd;
	struct dek *dek;

	struct uuid *deks;
	size_t dek_count;
	struct spool directories;
	struct spool entries;
	struct spool objects;
	struct spool heap;
	struct spool tags;
	struct spool queue;
	uint64_t queued;
	struct sealing_link *links;
	struct seal_counts counts;
	uint64_t roots_remembered;
	uint64_t roots_reread;
	uint64_t changed_count; /* files that are authentic, and not what this host wrote */
	char *first_changed;    /* text: which, and which block */
	struct older_manifest *older[SEALING_OLDER_MAX];
	size_t older_count;
	struct tag_memory *memory;
	struct uuid open_owner;
};

/* A file of the snapshot, opened, its header verified. */
struct sealing_file {
	const struct place *parent;
	const char *backing;
	int fd;
	struct header header;
	uint64_t size; /* plain */
	uint64_t block_count;
};

/* ---- seal_walk.c: all values, in the order of a manifest --------------------------------------------------------- */

MUST_CHECK int sealing_walk(struct sealing *sealing);

/* ---- seal_manifest.c: the file ------------------------------------------------------------------------------------ */

/* HEAP_NAME: of a file in tmp/ that sealing_close_spools() removes; "" before. */
MUST_CHECK int sealing_open_spools(struct sealing *sealing, char heap_name[static UUID_TEXT_SIZE]);
void sealing_close_spools(struct sealing *sealing, const char *heap_name);
/* Write it, durably, to its place. */
MUST_CHECK int sealing_write_manifest(struct sealing *sealing, struct seal_manifest *ret_manifest);

/* ---- seal_object.c: one object ------------------------------------------------------------------------------------- */

/*
 * Everything about the object BACKING in PARENT ("": PARENT itself) but its place in the tree: appends to heap and tags.
 */
MUST_CHECK int sealing_object(struct sealing *sealing, const struct place *parent,
			      const char *backing, const struct stat *stat,
			      struct manifest_object *ret_object);

/* The plain path of BACKING in PARENT below the snapshot, as far as it decrypts; to be freed.  NULL: no memory. */
char *sealing_plain_path(const struct sealing *sealing, const struct place *parent,
			 const char *backing);

/* Say which object it is that cannot be sealed, and why; returns ERROR. */
int sealing_fail(struct sealing *sealing, const struct place *parent, const char *backing,
		 int error, const char *what);

/* ---- seal_tags.c: the tags of a file ------------------------------------------------------------------------------- */

/* Append the tags of all blocks: those remembered, those of an older manifest, else the file is read. */
MUST_CHECK int sealing_tags(struct sealing *sealing, const struct sealing_file *file);
/* Were all files those that this host wrote, or is it told to take them as they are?  -EBADMSG with words. */
MUST_CHECK int sealing_check_changed(struct sealing *sealing);
void sealing_free_older(struct sealing *sealing);

#endif
