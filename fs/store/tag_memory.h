/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tags of blocks, kept while files are written, so that sealing a snapshot that was just written need not read it again.
 *
 * Kept in the state directory, below volumes/<volume>/tags/<snapshot>/: a log with an entry for each small file that was
 * closed, and one file of tags for each large one.  Nothing depends on them being there: what is not remembered is read.
 */
#ifndef SNAPCRYPT_FS_STORE_TAG_MEMORY_H
#define SNAPCRYPT_FS_STORE_TAG_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/store/store.h"
#include "meta/format/header.h"
#include "meta/format/manifest.h"

/* ---- While a file is written (file_tags.c); the file's lock is held for writing ----------------------------------- */

struct file;
struct snapshot;
struct tag_list;

/*
 * Where they are kept; without one, nowhere.
 *
 *   log    the log of a snapshot, for appending; negative: nothing is kept of files under this DEK
 *   open   a file beside it
 *   lose   nothing that is kept of the snapshot may be believed any more
 */
struct tag_keeper {
	int (*log)(struct snapshot *snapshot, const struct uuid *dek_id);
	int (*open)(struct snapshot *snapshot, const char *name, int flags);
	void (*lose)(struct snapshot *snapshot);
};
extern const struct tag_keeper tag_keeper; /* tag_keeper.c: in the state directory */
void tags_set_keeper(const struct tag_keeper *keeper);

/* The file has no content but an empty last block with this tag: from now on its tags are known. */
void tags_begin(struct file *file, const uint8_t tag[static MANIFEST_TAG_SIZE]);
/* Before the first change of a file that was there already, also before it is cut to nothing: what is kept about it does not
 * count any more. */
void tags_prepare(struct file *file);
/* SIZE sealed bytes were stored as blocks from FIRST on; the file has COUNT blocks now. */
void tags_stored(struct file *file, uint64_t first, const uint8_t *sealed, size_t size,
		 uint64_t count);
/* Blocks FIRST to END - 1 are holes now. */
void tags_punched(struct file *file, uint64_t first, uint64_t end);
/* What is kept about an object does not count any more: somebody mends it without the engine. */
void tags_withdraw(struct snapshot *snapshot, const struct header *header);
/* What is in place is not known: forget all. */
void tags_forget(struct file *file);
/* The file is being closed: keep what is known of it. */
void tags_end(struct file *file);

/* ---- When a snapshot is sealed (tag_memory.c) --------------------------------------------------------------------- */

struct tag_memory;

/* What is kept of a snapshot; NULL where there is nothing. */
MUST_CHECK int tag_memory_open(struct store *store, const struct uuid *snapshot,
			       struct tag_memory **ret_memory);
void tag_memory_close(struct tag_memory *memory); /* accepts NULL */
/* Forget what is kept of a snapshot: it is sealed, or gone. */
void tag_memory_remove(struct store *store, const struct uuid *snapshot);

/* The tags of one file, found. */
struct remembered {
	int fd;
	bool is_own_fd;
	uint64_t offset;
	bool is_of_this_boot;
};

/*
 * 1: the tags of all COUNT blocks of this very content are there; 0: they are not; -ESTALE: since this host booted it wrote
 * another content of this object, or another number of blocks.  MEMORY may be NULL.
 */
MUST_CHECK int tag_memory_find(struct tag_memory *memory, const struct header *header,
			       uint64_t count, struct remembered *ret_remembered);
/* -ENODATA: not all of them are there. */
MUST_CHECK int tag_memory_read(struct tag_memory *memory, const struct remembered *remembered,
			       uint64_t first, size_t count, uint8_t *tags);
void tag_memory_done(struct remembered *remembered);

#endif
