/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sealed snapshot as its manifest says: names, attributes, targets and tags by value; content from the backing files, each
 * block compared with its tag.
 *
 *   r = sealed_view_open(snapshot, &view, &error);
 *   r = sealed_object(view, SEALED_ROOT, &object);
 *   r = sealed_lookup(view, &object, "etc", &entry);
 *
 * Counted, thread-safe.  Everything here may return -EBADMSG (the manifest is not what was sealed), -EAGAIN (store.h) and
 * the key's errors.
 */
#ifndef SNAPCRYPT_FS_STORE_SEALED_VIEW_H
#define SNAPCRYPT_FS_STORE_SEALED_VIEW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/store/seal.h"
#include "meta/format/manifest.h"

struct file;
struct sealed_view;

#define SEALED_ROOT UINT64_C(0) /* object of the snapshot's directory */

/*
 * Open the manifest of a sealed snapshot.  Authenticated: the seal record's signature and MAC, the manifest's object and
 * content id and size.  A manifest is written once, so with those each of its blocks is authentic; its SHA-256 is checked
 * by sealed_view_check_hash(), which reads all of it.
 *
 * -ENOENT: not sealed.  -EBADMSG: the seal or its manifest is not authentic or gone.  -EACCES: origin not trusted, and
 * require_trusted_origin is set.  RETERR may be NULL.
 */
MUST_CHECK int sealed_view_open(struct snapshot *snapshot, struct sealed_view **ret_view,
				struct store_error *reterr);
struct sealed_view *sealed_view_ref(struct sealed_view *view);
void sealed_view_put(struct sealed_view *view); /* accepts NULL */
void sealed_view_cleanup(struct sealed_view **view);

/* The same, kept with the snapshot: for those who open files of it again and again.  A new reference. */
MUST_CHECK int snapshot_sealed_view(struct snapshot *snapshot, struct sealed_view **ret_view);
/* No longer keep it: the view and its snapshot hold each other.  Those who have a reference go on. */
void snapshot_drop_view(struct snapshot *snapshot);

/* 0; -EBADMSG: the manifest is not the one that the seal record names. */
MUST_CHECK int sealed_view_check_hash(struct sealed_view *view);

const struct seal *sealed_view_seal(const struct sealed_view *view);
struct snapshot *sealed_view_snapshot(struct sealed_view *view); /* borrowed */
struct store *sealed_view_store(struct sealed_view *view);

/* All of the manifest at random: meta/format/manifest.h.  Tags: manifest_read_tags(). */
const struct manifest *sealed_view_manifest(const struct sealed_view *view);
uint64_t sealed_object_count(const struct sealed_view *view);

MUST_CHECK int sealed_object(struct sealed_view *view, uint64_t index,
			     struct manifest_object *ret_object);

/* The DEK that an object's content is under; zero where it has none. */
MUST_CHECK int sealed_object_dek(struct sealed_view *view, const struct manifest_object *object,
				 struct uuid *ret_dek);

/* One entry of a directory. */
struct sealed_entry {
	char name[MANIFEST_NAME_MAX + 1];
	mode_t type; /* S_IFMT bits */
	uint64_t object;
};

/* Entries of a directory, by place: 0 to sealed_entry_count() - 1, in the order of their names as bytes. */
MUST_CHECK int sealed_entry_count(struct sealed_view *view, const struct manifest_object *directory,
				  uint64_t *ret_count);
MUST_CHECK int sealed_entry_at(struct sealed_view *view, const struct manifest_object *directory,
			       uint64_t place, struct sealed_entry *ret_entry);
/* -ENOENT. */
MUST_CHECK int sealed_lookup(struct sealed_view *view, const struct manifest_object *directory,
			     const char *name, struct sealed_entry *ret_entry);

/* The inode number of an object: no filesystem below uses such numbers, and no two snapshots share one; and back. */
uint64_t sealed_inode(const struct sealed_view *view, uint64_t index);
uint64_t sealed_inode_object(uint64_t inode);

/* Attributes as the manifest has them, with sealed_inode(); ctime is the time of the seal. */
void sealed_stat(struct sealed_view *view, uint64_t index, const struct manifest_object *object,
		 struct stat *ret_stat);

/* As in getxattr(2) and listxattr(2): SIZE 0 asks.  -ENODATA. */
MUST_CHECK ssize_t sealed_xattr_get(struct sealed_view *view, const struct manifest_object *object,
				    const char *name, uint8_t *value, size_t size);
MUST_CHECK ssize_t sealed_xattr_list(struct sealed_view *view, const struct manifest_object *object,
				     char *names, size_t size);

/*
 * Open the backing file of a sealed object: header, size and last block as the manifest says; file_read() compares each
 * block with its tag.  For reading only; file_close().
 *
 *   parent    the backing directory, opened; BACKING: the name in it (name_encode())
 *
 * -EBADMSG: it is another file, or another version of it (logged).  -ENOENT: it is gone.
 */
struct place;
MUST_CHECK int sealed_file_open(struct sealed_view *view, const struct place *parent,
				const char *backing, const struct manifest_object *object,
				struct file **ret_file);

/*
 * Open the backing directory PATH (plain names, joined by "/"; "": the snapshot's own) of a sealed snapshot whose directory
 * is open at SNAPSHOT_FD.  -ENOENT: it is not there; -EBADMSG: something else is.
 */
MUST_CHECK int sealed_directory_open(struct sealed_view *view, int snapshot_fd, const char *path,
				     int *ret_fd);

#endif
