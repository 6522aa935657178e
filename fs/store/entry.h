/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on names: what POSIX calls the namespace.  Callers hold the namespace lock of the
 * mount or are alone. Names are plain.  Creation happens with the calling thread's fsuid, fsgid and
 * umask.
 */
#ifndef SNAPCRYPT_FS_STORE_ENTRY_H
#define SNAPCRYPT_FS_STORE_ENTRY_H

#include <sys/stat.h>

#include "fs/store/name.h"
#include "fs/store/place.h"

/* Backing attributes, st_size turned into the plain size (files, symlinks).  BACKING "": PLACE. */
MUST_CHECK int entry_stat(const struct place *place, const char *backing, struct stat *ret_stat);

/* The same from attributes already read: PLACE's snapshot decides; REPORTED size for files under
 * write is the caller's. */
void entry_plain_size(const struct place *place, struct stat *stat);
/* The same for the object BACKING, as a read-only store shows it after an unclean stop. */
void entry_size(const struct place *place, const char *backing, struct stat *stat);

MUST_CHECK int entry_lookup(const struct place *parent, const char *name,
			    struct backing_name *ret_backing, struct stat *ret_stat);
MUST_CHECK int entry_mkdir(const struct place *parent, const char *name,
			   mode_t mode); /* at depth: snapshot_create() */
MUST_CHECK int entry_mknod(const struct place *parent, const char *name, mode_t mode,
			   dev_t device); /* not regular files */
MUST_CHECK int entry_symlink(const struct place *parent, const char *name, const char *target);
/* Target of a symlink, NUL-terminated, at most SIZE - 1 bytes.  -EBADMSG if not authentic. */
MUST_CHECK int entry_readlink(const struct place *parent, const char *backing, char *target,
			      size_t size);
MUST_CHECK int entry_unlink(const struct place *parent, const char *name);
MUST_CHECK int entry_rmdir(const struct place *parent, const char *name);

/*
 * Link the object at FROM/from_backing.  Into another snapshot: the need for its DEK is durable
 * first; -EXDEV if that DEK is not open, trusted and enabled, or one of the snapshots is not
 * encrypted.
 */
MUST_CHECK int entry_link(const struct place *from, const char *from_backing,
			  const struct place *to, const char *to_name);

/* FLAGS: 0 or RENAME_NOREPLACE.  -EXDEV as entry_link(), and for directories across snapshots or
 * depth. */
MUST_CHECK int entry_rename(const struct place *from, const char *from_name, const struct place *to,
			    const char *to_name, unsigned flags);

/*
 * Iterate a directory: plain names, "." and ".." included, reserved ones and sidecars left out,
 * undecryptable ones counted and reported once.  One thread at a time.
 */
struct entry_list;
struct entry {
	const char *name; /* plain; valid until the next call */
	const char *backing;
	ino_t inode;
	mode_t type; /* S_IFMT bits, 0 if the lower filesystem does not tell */
	off_t next;  /* position after this entry */
};
MUST_CHECK int entry_list_open(const struct place *directory, struct entry_list **ret_list);
/* 1 and an entry, 0 at the end, or a negative errno. */
MUST_CHECK int entry_list_next(struct entry_list *list, struct entry *ret_entry);
MUST_CHECK int entry_list_seek(struct entry_list *list, off_t position);
unsigned entry_list_hidden(const struct entry_list *list); /* names that did not decrypt so far */
void entry_list_close(struct entry_list *list);

/* Make a directory's entries durable. */
MUST_CHECK int entry_sync_directory(const struct place *directory);

#endif
