/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the objects of a snapshot go when that is not a plain directory: an archive, another volume.
 *
 * Every callback returns 0 or a negative errno, which is reported as the object's failure or ends the whole, as for a directory.
 * Called on any of the restoring threads; one directory's begin() before all that is in it, its end() after.
 */
#ifndef SNAPCRYPT_FS_RESTORE_SINK_H
#define SNAPCRYPT_FS_RESTORE_SINK_H

#include "fs/restore/attributes.h"
#include "fs/restore/content.h"

/*
 *   path         below the snapshot; "": its own directory
 *   above        what begin() made of the directory that it is in; NULL for the snapshot's own
 *   attributes   also type, device and, of files, the size
 */
struct sink_object {
	const char *path;
	const char *name;
	void *above;
	const struct attributes *attributes;
};

struct restore_sink {
	int (*begin)(void *arg, const struct sink_object *directory, void **ret_data);
	int (*end)(void *arg, const struct sink_object *directory, void *data);
	/* To be taken with content_copy(), at least once: file, size and hash of the job are set. */
	int (*file)(void *arg, const struct sink_object *object, struct content_job *job);
	int (*symlink)(void *arg, const struct sink_object *object, const char *target);
	/* 1: it cannot be held, which the sink has said. */
	int (*special)(void *arg, const struct sink_object *object);
	/* A further name of the object that is at the path FIRST. */
	int (*link)(void *arg, const struct sink_object *object, const char *first);
	void *arg;
};

#endif
