/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking everything in a snapshot with several threads: for restore, verify and export.
 *
 * Callbacks run on any thread and may return a negative errno to end the walk; what concerns one object only they keep to
 * themselves.  A directory is entered before its entries are visited and left when all below it is done.
 */
#ifndef SNAPCRYPT_FS_STORE_WALK_H
#define SNAPCRYPT_FS_STORE_WALK_H

#include <sys/stat.h>

#include "fs/store/place.h"
#include "fs/store/sealed_view.h"
#include "meta/macros.h"

struct walk;

/*
 * A directory of the snapshot, counted.
 *
 *   parent   NULL: the snapshot's own directory
 *   path     plain path below the snapshot; "" for its own directory
 *   name     last component of it
 *   backing  of its name in the parent
 *   place    the backing directory, open
 *   stat     its attributes
 *   sealed   of a sealed snapshot: what its manifest says of it, as object INDEX
 *   data     the visitor's
 */
struct walk_directory {
	struct walk *walk;
	struct walk_directory *parent;
	const char *path;
	const char *name;
	const char *backing;
	struct place place;
	struct stat stat;
	uint64_t index;
	struct manifest_object sealed;
	void *data;
};
struct walk_directory *walk_directory_ref(struct walk_directory *directory);
void walk_directory_put(struct walk_directory *directory);

/*
 * Anything that is not a directory.  STAT: st_size is plain.  Of a sealed snapshot all is as its manifest says, whatever is
 * below.
 */
struct walk_item {
	struct walk_directory *directory;
	const char *name;
	const char *backing;
	struct stat stat;
	uint64_t index;
	struct manifest_object sealed;
};

struct walk_visitor {
	/* Take the directory (set its data); 1: not entered, what is below it is not visited, nor is it left. */
	int (*enter)(void *arg, struct walk_directory *directory);
	int (*visit)(void *arg, const struct walk_item *item);
	void (*leave)(void *arg, struct walk_directory *directory);
	/* NAME (NULL: the directory's own list) cannot be looked at. */
	int (*failed)(void *arg, struct walk_directory *directory, const char *name, int error);
	/* So many names of the directory did not decrypt. */
	int (*hidden)(void *arg, struct walk_directory *directory, unsigned count);
	void *arg;
};

/*
 * Walk SNAPSHOT, whose directory is open at FD: by its manifest where VIEW is given, else by what is below.  Returns the first
 * error that ended it.
 */
struct walk_options {
	struct snapshot *snapshot;
	int fd;
	struct sealed_view *view;
	unsigned threads;
};
MUST_CHECK int walk_snapshot(const struct walk_options *options,
			     const struct walk_visitor *visitor);
struct sealed_view *walk_view(const struct walk *walk); /* NULL: by what is below */

/*
 * From a callback: have another thread call RUN(arg) before it goes on with anything else, as soon as one is free.  DONE(arg) is
 * called in the end, whether RUN was or not.  false: not invited, DONE is not called.
 */
bool walk_invite(struct walk *walk, void (*run)(void *arg), void (*done)(void *arg), void *arg);
unsigned walk_helpers(const struct walk *walk); /* threads beside the calling one */

/* Has the walk been ended by an error?  For long callbacks. */
bool walk_has_ended(struct walk *walk);

/* "PATH/NAME" below the snapshot, cut where it does not fit. */
#define WALK_PATH_SIZE 8192
const char *walk_path(const struct walk_directory *directory, const char *name,
		      char path[static WALK_PATH_SIZE]);

#endif
