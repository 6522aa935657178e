/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of restoring; for fs/restore only. */
#ifndef SNAPCRYPT_FS_RESTORE_RESTORE_INTERNAL_H
#define SNAPCRYPT_FS_RESTORE_RESTORE_INTERNAL_H

#include <pthread.h>

#include "fs/restore/attributes.h"
#include "fs/restore/content.h"
#include "fs/restore/links.h"
#include "fs/restore/restore.h"
#include "fs/restore/sink.h"

struct restore {
	const struct restore_options *options;
	struct restore_counts *counts;
	struct links *links;
	bool can_chown;
};

/*
 * The directory in the target that a directory of the snapshot becomes.
 *
 *   is_made    false: nothing in it was taken so far
 *   fd         -1: a sink has made it, or it is not made
 *   sink_data  what the sink made of it
 *   is_inside  an --include names it or one above
 */
struct target_directory {
	pthread_mutex_t lock; /* guards what follows while it is made */
	bool is_made;
	int fd;
	void *sink_data;
	bool is_inside;
	struct attributes attributes;
};

/* ---- target.c: objects in the target ------------------------------------------------------------------------------- */

/* Make DIRECTORY in the target where it is not made yet.  Its descriptor; 0: a sink has it. */
MUST_CHECK int target_directory_fd(struct restore *restore, struct walk_directory *directory);

/* DIRECTORY as the sink sees it. */
struct sink_object target_sink_object(const struct walk_directory *directory);

/* Take away what stands in the way of a new NAME.  -EEXIST: it may not be; -EISDIR: a directory. */
MUST_CHECK int target_clear(const struct restore *restore, int dir_fd, const char *name);

/* Is NAME a file that an interrupted restore has finished: of this size and time? */
bool target_is_finished(const struct restore *restore, int dir_fd, const struct walk_item *item);

/* ---- item.c -------------------------------------------------------------------------------------------------------- */

/* One object that is no directory.  Negative: what ends the restore. */
MUST_CHECK int restore_item(struct restore *restore, const struct walk_item *item);

/* Report that an object failed with ERROR.  Returns the error where it ends the restore, else 1. */
int restore_failed(struct restore *restore, const char *path, int error);
int restore_failed_block(struct restore *restore, const char *path, int error, uint64_t block);

/* Report what is wrong with an object; IS_LEFT_OUT: it is not restored.  Returns 1. */
struct restore_fault {
	enum finding_class class;
	const char *text;
	bool is_left_out;
};
int restore_found(struct restore *restore, const char *path, const struct restore_fault *fault);

/* An object of the snapshot: where it is below, and in the manifest. */
struct restore_source {
	const struct place *place;
	const char *backing;
	const struct stat *stat;
	uint64_t index;
	const struct manifest_object *sealed;
};

/*
 * What is below against the manifest: 0, also where only what is said about it differs, which is reported; 1: reported, not
 * to be restored; or an error.
 */
MUST_CHECK int restore_compare(struct restore *restore, const char *path,
			       const struct restore_source *source);

/* Attributes of an object, as they are to be restored. */
MUST_CHECK int restore_attributes(struct restore *restore, const char *path,
				  const struct restore_source *source,
				  struct attributes *ret_attributes);

#endif
