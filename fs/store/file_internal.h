/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the encrypted-file engine; for fs/store/file_*.c and write_queue.c only.
 *
 * What holds, and where each rule lives:
 *
 * Well-formed.  Every block but the last is full, the last is short.  A change is sealed whole in
 *   memory (file_run.c) and written with one pwrite; if it extends the file, it ends with the new
 *   last block.  A write that fails half-way is taken back: the old last block is sealed again
 *   from memory, the file cut to its old size (file_store.c).  Blocks that a failed overwrite tore
 *   get their old contents from memory, or from a copy made before where the filesystem below may
 *   run out of space in the middle of existing data (sparse files, copy-on-write).
 *
 * Verified.  Plaintext comes from aead_open_blocks(), or from our own memory: the last block of a
 *   file open for writing (`tail`), and two recently used blocks (`slots`).  A partial overwrite
 *   verifies the block before it changes it.  A zero block is a hole only where the header says
 *   sparse.
 *
 * Covered.  Blocks below `direct_from` may hold bytes that an fsync or an earlier session covered:
 *   they change through the journal only.  A file is
 *     direct      no live records; direct_from is 0 (nothing covered) or NEVER_DIRECT (all of it)
 *     journaled   live records, direct_from is NEVER_DIRECT
 *     mixed       live records, direct_from is a block boundary that the journal protects with an
 *                 `open` record: whatever happens to direct writes behind it, replay finds an end.
 *   A change below the boundary, and fsync, end mixed: data synced, then the journal retired.
 *   What the journal has not yet put in place is overlaid by read_sealed().
 *
 * Locks.  The mount's locks; then file->lock (writers: any change; readers: reads); then
 *   cache_lock (slots) or the journal's.  The registry's and the queue's locks are leaves: nothing
 *   is called while they are held.  A write queue thread holds only the file's lock while it seals.
 *
 * Memory.  No allocation per request: each thread keeps its buffers (file_buffer.c); files take
 *   block buffers from a pool when they first need one, and wipe what they give back.
 */
#ifndef SNAPCRYPT_FS_STORE_FILE_INTERNAL_H
#define SNAPCRYPT_FS_STORE_FILE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/store/file.h"
#include "fs/store/journal.h"
#include "fs/store/whole_file.h"
#include "kms/crypto/aead.h"
#include "kms/crypto/dek.h"
#include "meta/format/header.h"
#include "meta/format/layout.h"

#define NEVER_DIRECT     UINT64_MAX
#define FILE_CHUNK_SIZE  (UINT32_C(1) << 20) /* plaintext of one pwrite */
#define FILE_SLOT_COUNT  2                   /* of most files */
#define FILE_SLOTS_MANY  64                  /* of manifests, which are read at random */
#define FILE_SEALS_MAX   (UINT64_C(1) << 31) /* block writes under one content id */
#define FILE_REPORTS_MAX 8
#define REREAD_COUNT     3 /* read-only stores: before a failed tag counts */
#define REREAD_WAIT_MS   15

/* A block in memory.  PLAIN holds a whole block; FILL bytes of it count. */
struct block_slot {
	uint8_t *plain;
	uint64_t index;
	uint32_t fill;
	bool is_valid;
};

/* Where the write queue keeps its state of a file; guarded by the queue's lock but for `count`. */
struct queue_item;
struct queue_state {
	atomic_size_t count; /* writes queued or being written */
	atomic_int error;    /* sticky, negative */
	struct write_queue *queue;
	struct queue_item *first;
	struct queue_item *last;
	struct file *next_ready;
	bool is_ready;
	bool is_running;
};

struct file {
	pthread_rwlock_t lock;
	atomic_uint references;

	struct store *store;
	struct snapshot *snapshot;
	const struct layout *layout;
	char *path;
	int fd;
	bool is_encrypted;
	bool is_writable;
	bool needs_entry_sync; /* made in this session, its directory entry not yet synced */
	int failure; /* what is in place is not what was acknowledged: every call gives this */

	struct header header;
	struct dek *dek;
	struct aead_key *key;
	atomic_uint_fast64_t size;
	uint64_t size_high;   /* the largest size so far: what block buffers hold at most */
	uint64_t sealed_size; /* with what is pending in the journal */
	uint64_t seal_count;

	uint8_t *tail; /* the last block's plaintext, size % block_size bytes; has_tail: it is there */
	bool has_tail;

	pthread_mutex_t cache_lock;
	struct block_slot *slots; /* slot_count of them: own_slots, or allocated */
	struct block_slot own_slots[FILE_SLOT_COUNT];
	unsigned slot_count;
	unsigned next_slot;

	struct journal_file *journal;
	bool has_pending;     /* the journal holds changes that no commit has covered */
	uint64_t direct_from; /* block index */
	uint64_t covered_size;
	uint64_t journaled_size; /* bytes journaled since the last sync */

	struct recovery *recovery; /* read-only: its records apply to this file; borrowed */
	uint8_t stored_content_id[HEADER_CONTENT_ID_SIZE]; /* of the header in place */
	struct recovery_backing backing;

	struct tag_list *tags;             /* tag_memory.h; NULL: not all are known */
	bool is_tag_withdrawn;             /* tags_prepare() is done */
	bool is_control;                   /* ours, below .snapcrypt */
	struct file_expectation *expected; /* of a sealed snapshot: what its manifest says; owned */

	_Atomic uint64_t reports[FILE_REPORTS_MAX]; /* blocks reported so far, plus one */

	struct queue_state queue;
	struct file *previous;
	struct file *next;
};

/* ---- file_buffer.c: memory --------------------------------------------------------------- */

/* Buffers of the calling thread, big enough for one chunk and its partial blocks. */
struct thread_buffers {
	uint8_t *sealed; /* ciphertext of a run, written or read */
	size_t sealed_size;
	uint8_t *plain; /* one block, from the pool */
	uint8_t *undo;  /* two blocks: overwritten plaintext */
	uint8_t *image; /* ciphertext before an overwrite; allocated by thread_image() */
	size_t image_size;
	size_t block_size;
};

/* NULL: no memory. */
struct thread_buffers *thread_buffers(const struct layout *layout);
uint8_t *thread_image(struct thread_buffers *buffers, size_t size);

/* A buffer of one block; wiped (USED bytes of it) when given back.  block_put() accepts NULL. */
uint8_t *block_get(size_t block_size);
void block_put(uint8_t *block, size_t block_size, size_t used);

/* ---- file_registry.c: every open file ----------------------------------------------------- */

void registry_add(struct file *file);
void registry_remove(struct file *file);

/* ---- file_load.c: what a file is ------------------------------------------------------------ */

/*
 * Read the header of the file open at file->fd, of which ST was just read, check it and the last block as far as
 * ACCESS needs it.  A file to be truncated may be unterminated; -ENODATA: it has no header.
 */
MUST_CHECK int file_load(struct file *file, const struct file_open_options *options,
			 const struct stat *st);

/* Give a writer on another mount time to finish. */
void wait_for_writer(void);

/* ---- file_sync.c ----------------------------------------------------------------------------- */

/* Make the directory entry of a new file durable, and the directories above it. */
MUST_CHECK int sync_entry(struct file *file);

/* ---- write_queue.c --------------------------------------------------------------------------- */

/* Wait for what is queued for FILE; its error stays until write_queue_wait() takes it. */
MUST_CHECK int queue_drain(struct file *file);

/* A file of our own, BACKING in the directory PARENT (below .snapcrypt), under DEK. */
MUST_CHECK int file_create_control(const struct place *parent, const char *backing, struct dek *dek,
				   struct file **ret_file);

/* ---- file_open.c --------------------------------------------------------------------------- */

/* Fix DEK and key of a file whose DEK was wiped and is there again; call without a lock held. */
MUST_CHECK int file_renew_key(struct file *file);
/* Read header and size again (read-only stores, where a writer may be at work). */
MUST_CHECK int file_refresh(struct file *file);
void file_put(struct file *file);

/* 0, or why the file cannot be used now.  Call first, without a lock held. */
static inline int file_check(struct file *file)
{
	if (file->failure)
		return file->failure;
	if (!file->is_encrypted || !dek_is_wiped(file->dek))
		return 0;
	return file_renew_key(file);
}

/* ---- file_header.c ------------------------------------------------------------------------- */

/* Header bytes with their MAC. */
MUST_CHECK int header_seal(const struct header *header, const struct dek *dek,
			   uint8_t data[static HEADER_SIZE]);
/* Decode; -EBADMSG, -ENOTSUP.  The MAC is checked by header_verify(). */
MUST_CHECK int header_parse(const struct store *store, struct bytes data, struct header *ret_header,
			    const char **reterr_fault);
MUST_CHECK int header_verify(const uint8_t data[static HEADER_SIZE], const struct dek *dek);
MUST_CHECK int header_key(const struct header *header, const struct dek *dek,
			  struct aead_key **ret_key);
/* Header and empty last block of a file without content. */
MUST_CHECK int header_empty_file(const struct header *header, const struct dek *dek,
				 const struct aead_key *key,
				 uint8_t data[static LAYOUT_EMPTY_FILE_SIZE]);
/* Set the flag, durable first where something is covered.  File locked for writing. */
MUST_CHECK int file_make_sparse(struct file *file);
/* The index attribute; losing it loses nothing, so errors do not count. */
void file_write_index(int fd, const struct uuid *dek_id);

/* ---- file_block.c: blocks from below ------------------------------------------------------- */

/* Sealed bytes of the file as it is, journals overlaid.  -EBADMSG: they end too early. */
MUST_CHECK int read_sealed(struct file *file, uint64_t offset, uint8_t *data, size_t size);

/* Consecutive blocks: COUNT of them from FIRST, SEALED as read. */
struct sealed_blocks {
	uint64_t first;
	uint64_t count;
	struct bytes sealed;
};
/* Verify and decrypt, holes to zeros.  -EBADMSG: *ret_failed is the block. */
MUST_CHECK int open_sealed(struct file *file, const struct sealed_blocks *blocks, uint8_t *plain,
			   uint64_t *ret_failed);

/* Read and verify one block into PLAIN (a block's size); block_load() reports -EBADMSG. */
MUST_CHECK int block_try(struct file *file, uint64_t index, uint8_t *plain);
MUST_CHECK int block_load(struct file *file, uint64_t index, uint8_t *plain);
/* The same into a slot, unless it is there; file locked for writing.  KEEP: a slot not to take. */
MUST_CHECK int block_slot_load(struct file *file, uint64_t index, const struct block_slot *keep,
			       struct block_slot **ret_slot);
/* Is a sealed block all zero, and full? */
bool block_is_hole(const struct file *file, struct bytes sealed);
/* Log a block that is not authentic, once. */
void block_report(struct file *file, uint64_t index);

/* Forget slots of blocks FIRST to LAST; all of them with 0, UINT64_MAX. */
void slots_forget(struct file *file, uint64_t first, uint64_t last);
/* Put *PLAIN (a pool buffer) into a slot, getting another buffer or NULL back in it. */
void slots_offer(struct file *file, uint64_t index, uint32_t fill, uint8_t **plain);
/* Copy from a slot; false: not there. */
bool slots_copy(struct file *file, uint64_t index, uint32_t start, uint8_t *data, size_t size);

/* Can a write over existing data run out of space and tear it? */
bool may_tear(struct file *file);

/* Keep more blocks in memory.  Without memory for it there are as few as before. */
void slots_keep_many(struct file *file);

/* Wipe every plaintext in memory; it is read again when needed.  File locked for writing. */
void plain_forget(struct file *file);
/* The last block's plaintext in file->tail; file locked for writing. */
MUST_CHECK int tail_load(struct file *file);

/* ---- file_expected.c: files of sealed snapshots ------------------------------------------------ */

/* What a manifest says about one file; made by sealed_file_open(), freed with the file. */
struct file_expectation {
	uint64_t size;
	/* 0; -EBADMSG: it is another file's header or another version's. */
	int (*check_header)(const struct file_expectation *expectation,
			    const struct header *header);
	/* Tags of COUNT blocks from FIRST. */
	int (*read_tags)(const struct file_expectation *expectation, uint64_t first, size_t count,
			 uint8_t *tags);
	void (*free)(struct file_expectation *expectation);
};

/*
 * Before blocks are read: have the tags of COUNT blocks from FIRST at hand, on this thread.  Then, before they are opened:
 * -EBADMSG and the block whose tag is another.  Both are 0 for a file of which nothing is expected.
 */
MUST_CHECK int expected_tags_fetch(const struct file *file, uint64_t first, uint64_t count);
MUST_CHECK int expected_tags_check(const struct file *file, const struct sealed_blocks *blocks,
				   uint64_t *ret_failed);
/* Is a block a hole, as sealed?  After expected_tags_fetch() of it. */
bool expected_tag_is_hole(uint64_t index);

/* ---- file_store.c: sealed changes to the backing file -------------------------------------- */

/* A run of consecutive blocks, sealed, in the thread's buffer. */
struct sealed_run {
	uint64_t first;
	uint64_t next; /* block that would be added next */
	uint8_t *data;
	size_t size;
	size_t capacity;
	uint64_t new_size; /* plain size of the file once it is stored */
	bool is_exact;     /* a shrink */
	bool is_open;      /* journaled: direct writes go on behind it */
};

MUST_CHECK int run_begin(struct file *file, struct sealed_run *run, uint64_t first,
			 uint64_t new_size);
/*
 * Seal SIZE bytes as the next blocks: full ones, the last of them may be short.  IS_END: they end the
 * file, so a full last one is followed by an empty one.
 */
MUST_CHECK int run_add(struct file *file, struct sealed_run *run, struct bytes plain, bool is_end);

/* Plaintext that was changed in memory before a run was sealed from it: SIZE bytes at PLACE. */
struct undo {
	uint8_t *place;
	const uint8_t *saved;
	size_t size;
	const struct block_slot *slot; /* the block that it belongs to; NULL: the tail */
};
struct undo_list {
	struct undo entries[2];
	size_t count;
};

/*
 * Store a run in the file, or append it to the journal, and note the new size.  On failure memory
 * and file are as before (what UNDO names is put back), but for blocks below the last one that were
 * written whole.
 */
MUST_CHECK int run_store(struct file *file, const struct sealed_run *run,
			 const struct undo_list *undo);
void undo_all(const struct undo_list *undo);
/* Seal a block from memory again and write it over what a failed write left there. */
MUST_CHECK int block_rewrite(struct file *file, uint64_t index, struct bytes plain);

/* ---- file_journal.c: which way a change takes ---------------------------------------------- */

/* Make ready for a change whose lowest block is LOW: afterwards is_journaled() tells its way. */
MUST_CHECK int prepare_change(struct file *file, uint64_t low);
static inline bool is_journaled(const struct file *file, uint64_t low)
{
	return low < file->direct_from;
}
MUST_CHECK int journal_run(struct file *file, const struct sealed_run *run);
/* A change that is no run: header and last block in one. */
MUST_CHECK int journal_change(struct file *file, const struct journal_change *change);
MUST_CHECK int commit_pending(struct file *file);
/* Sync the data, end the live records: the file is direct, all of it covered. */
MUST_CHECK int retire(struct file *file);
/* No live records; everything up to SIZE, the whole file, is covered. */
void set_covered(struct file *file, uint64_t size);

/* ---- file_write.c --------------------------------------------------------------------------- */

/* Bytes to write; data NULL: zeros, within one block. */
struct span {
	const uint8_t *data;
	size_t size;
	uint64_t offset;
};
MUST_CHECK int write_locked(struct file *file, const struct span *span);
/* Replace the empty last block of a covered file by one that the journal protects: direct writes may
 * follow.  No-op where they may already. */
MUST_CHECK int open_end(struct file *file);

/* ---- file_truncate.c ------------------------------------------------------------------------ */

MUST_CHECK int shrink_locked(struct file *file, uint64_t size);
/* Grow with zeros: in the last block, then holes. */
MUST_CHECK int grow_locked(struct file *file, uint64_t size);
/* New content id and key; under NEW_DEK unless NULL. */
MUST_CHECK int clear_locked(struct file *file, struct dek *new_dek);

static inline uint64_t tail_index(const struct file *file)
{
	return layout_block_index(file->layout, file->size);
}

static inline uint32_t tail_fill(const struct file *file)
{
	return layout_block_offset(file->layout, file->size);
}

#endif
