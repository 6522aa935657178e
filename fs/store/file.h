/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One encrypted file, opened: one struct file per inode, shared by all of its handles.  Thread-safe: a reader-writer lock
 * inside guards size and content.  In a snapshot without encryption the same calls pass bytes through.
 *
 * After every call the backing file is well-formed.  Durability: architecture section 8; journaled writes wait in the
 * journal's batch and are seen by file_read().
 */
#ifndef SNAPCRYPT_FS_STORE_FILE_H
#define SNAPCRYPT_FS_STORE_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "fs/store/name.h"
#include "fs/store/place.h"

struct file;
struct file_expectation; /* file_internal.h */

enum file_access { FILE_READ, FILE_WRITE };

/*
 * What is worth keeping about an inode between opens in one mount: up to where an fsync or an earlier session has covered
 * it.  Zero-initialised means: not known, so all of it counts as covered.
 */
struct file_history {
	bool is_known;
	uint64_t covered_size;
};

/* Create NAME's backing file exclusively: header, empty last block, index attribute.  -EEXIST, -EAGAIN. */
MUST_CHECK int file_create(const struct place *parent, const char *name, mode_t mode,
			   struct backing_name *ret_backing, struct file **ret_file);

/*
 * Open a backing file.  FILE_WRITE needs a trusted, unsealed DEK (-EACCES, -EROFS).
 * -EBADMSG: header not authentic, unterminated (unless IS_TRUNCATING).  HISTORY may be NULL.
 * EXPECTED (may be NULL): device and inode that the caller believes in, else -ESTALE.
 */
struct file_open_options {
	enum file_access access;
	bool is_truncating; /* O_TRUNC: an unterminated file is accepted, content replaced */
	const struct file_history *history;
	const struct stat *expected;
	struct file_expectation *sealed; /* for sealed_file_open(): taken over on success */
};
MUST_CHECK int file_open(const struct place *parent, const char *backing,
			 const struct file_open_options *options, struct file **ret_file);

/*
 * An open file has got another backing path below the root: it, or a directory above it, was renamed.  What is journaled from
 * now on names PATH (copied).  The caller lets no operation on the namespace run meanwhile; reads and writes may.
 */
MUST_CHECK int file_moved(struct file *file, const char *path);

/* Raise a FILE_READ file to FILE_WRITE (reopens below, same inode). */
MUST_CHECK int file_make_writable(const struct place *parent, const char *backing,
				  struct file *file);

/* Everything written by earlier calls reaches the backing filesystem (journal batch included).  Keeps the file open. */
MUST_CHECK int file_flush(struct file *file);
MUST_CHECK int file_sync(struct file *file, bool is_data_only);
int file_close(struct file *file, struct file_history *ret_history); /* flushes; accepts NULL */

MUST_CHECK ssize_t file_read(struct file *file, uint8_t *buffer, size_t size, uint64_t offset);
MUST_CHECK ssize_t file_write(struct file *file, const uint8_t *data, size_t size, uint64_t offset);
MUST_CHECK int file_truncate(struct file *file, uint64_t size);
/* fallocate(2) modes 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE[|KEEP_SIZE]; others -EOPNOTSUPP. */
MUST_CHECK int file_allocate(struct file *file, int mode, uint64_t offset, uint64_t size);
MUST_CHECK int file_seek(struct file *file, uint64_t offset, int whence, uint64_t *ret_offset);

/*
 * Before a DEK is wiped: wait for the write queue of every open file under it, flush what the journal holds of them.
 * Returns the first error; goes on after errors.  Call it without holding any lock of the engine.
 */
MUST_CHECK int files_flush_dek(struct store *store, const struct uuid *dek_id);

/*
 * For replay, verify and repair: is the backing file open at FD one under DEK, and does it end in an authentic last block?
 * 0, -EBADMSG, or another negative errno.
 */
MUST_CHECK int file_check_end(struct store *store, const struct dek *dek, int fd);

uint64_t file_size(struct file *file);
int file_fd(const struct file *file); /* the backing descriptor, for fstat, fchmod, futimens */
const struct uuid *file_dek_id(const struct file *file);
const uint8_t *file_object_id(const struct file *file); /* 16 bytes; NULL without encryption */

#endif
