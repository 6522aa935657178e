/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are open in this mount: one for each inode, shared by its handles and by operations that need the content for a
 * moment.  Thread-safe.
 */
#ifndef SNAPCRYPT_FS_MOUNT_OPEN_FILE_H
#define SNAPCRYPT_FS_MOUNT_OPEN_FILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/mount/node.h"
#include "fs/store/file.h"
#include "fs/store/sealed_view.h"
#include "fs/store/write_queue.h"
#include "kms/error.h"

/*
 *   lock           read: FILE is used; write: it is opened or closed.  Not held across key calls and notifications
 *   file           NULL: withdrawn with its key, or not opened yet
 *   withdrawals    how often that happened; handles that could write do not survive it
 *   submitted, settled   numbers of queued writes, and up to which they are known to be written
 *   written, flushed     the same for writes and file_flush()
 */
struct open_file {
	struct open_file *next;
	struct open_file *previous;
	struct node *node;
	pthread_rwlock_t lock;
	struct file *file;
	int withdrawn_error;
	unsigned withdrawals;
	bool is_writable;
	_Atomic bool is_sealed; /* FILE is compared with a manifest */
	unsigned pins;
	_Atomic unsigned cached_handles;
	_Atomic uint64_t submitted;
	_Atomic uint64_t settled;
	_Atomic uint64_t written;
	_Atomic uint64_t flushed;
	_Atomic int late_error;           /* of queued writes, for the next who waits */
	_Atomic bool has_no_special_bits; /* setuid and setgid are known to be clear */
};

/* One open(2). */
struct handle {
	struct handle *next;
	struct handle *previous;
	struct open_file *open;
	unsigned withdrawals;
	bool is_writable;
	bool is_cached;
};

struct open_files;

MUST_CHECK int open_files_create(struct nodes *nodes, struct write_queue *queue,
				 struct open_files **ret_files);
void open_files_free(struct open_files *files);
size_t open_files_count(struct open_files *files);

/* The open file of NODE, made if there is none; its content is not opened by this.  NULL without memory. */
struct open_file *open_file_pin(struct open_files *files, struct node *node);
/* The same, but only if there is one. */
struct open_file *open_file_find(struct open_files *files, struct node *node);
/* The last one closes it.  Accepts NULL.  Returns the error of closing. */
int open_file_unpin(struct open_files *files, struct open_file *open);

/* FILE was just created for the node of OPEN, which takes it over, also on failure. */
MUST_CHECK int open_file_adopt(struct open_files *files, struct open_file *open, struct file *file);

/*
 *   view, object   NULL, or what the content must be: it is opened through the manifest (sealed_view.h)
 */
struct open_file_where {
	const struct place *parent;
	const char *backing;
	struct sealed_view *view;
	const struct manifest_object *object;
};

/* Have the content open, for writing if ACCESS says so, empty if IS_TRUNCATING.  Waits for the queue first. */
MUST_CHECK int open_file_open(struct open_files *files, struct open_file *open,
			      const struct open_file_where *where, enum file_access access,
			      bool is_truncating);

/* Use the content: hold OPEN->lock for reading, OPEN->file is there.  -EUNATCH: not open, open_file_open() is needed. */
MUST_CHECK int open_file_use(struct open_file *open);
void open_file_done(struct open_file *open);

/* With open_file_use(): wait for what is queued; and flush.  Errors of earlier writes are returned here, once. */
MUST_CHECK int open_file_settle(struct open_files *files, struct open_file *open);
MUST_CHECK int open_file_flush(struct open_files *files, struct open_file *open);
/* Wait, and keep an error for the next who asks. */
void open_file_settle_quietly(struct open_files *files, struct open_file *open);

/* WRITTEN, as it was before, is flushed now (by a sync). */
void open_file_note_flushed(struct open_file *open, uint64_t written);

/* Is so much queued that waiting for it takes long? */
bool open_file_is_busy(struct open_files *files, const struct open_file *open);

/* Open nothing under DEK any more, giving ERROR; 0: open it again. */
void open_files_refuse(struct open_files *files, const struct uuid *dek_id, int error);

/*
 * Close everything under DEK when running requests are done; handles that could write give ERROR from then on, others open it
 * again unless that is refused.  Returns the first failure to write what was acknowledged.
 */
MUST_CHECK int open_files_withdraw(struct open_files *files, const struct uuid *dek_id, int error);

/* Close everything under DEK, which may be opened again at once; handles that could write give ERROR from then on. */
MUST_CHECK int open_files_end(struct open_files *files, const struct uuid *dek_id, int error);

/* Wait for and flush every open file; the first error. */
MUST_CHECK int open_files_flush(struct open_files *files);

/* Tell every open file at or below NODE its new path: the namespace lock is held for writing. */
MUST_CHECK int open_files_moved(struct open_files *files, const struct node *node,
				const char *root_path);

/* The number of a DEK in node.dek, and whether a node's pages are under it. */
uint16_t open_files_dek_number(struct open_files *files, const struct uuid *dek_id);

#endif
