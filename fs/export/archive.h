/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot as a tar archive: a sink for restoring (fs/restore/sink.h), for one thread.
 *
 * Small files, and with `checks_first` all of them, are read whole before their header is written, so that one that is not
 * authentic is left out.  A larger one that fails in the middle breaks the archive off, because its header has promised bytes
 * that nobody has: nothing more is taken then.
 */
#ifndef SNAPCRYPT_FS_EXPORT_ARCHIVE_H
#define SNAPCRYPT_FS_EXPORT_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/restore/sink.h"
#include "meta/macros.h"

struct archive;

/* SKIPPED is told of what an archive cannot hold: sockets. */
struct archive_options {
	int fd;
	bool checks_first;
	void (*skipped)(void *arg, const char *path);
	void *arg;
};

MUST_CHECK int archive_open(const struct archive_options *options, struct archive **ret_archive);
void archive_free(struct archive *archive); /* accepts NULL */

const struct restore_sink *archive_sink(const struct archive *archive);

/* Was it broken off? */
bool archive_is_broken(const struct archive *archive);

/* A small file of ours, at PATH below the snapshot. */
MUST_CHECK int archive_add(struct archive *archive, const char *path, const void *data,
			   size_t size);

/* The end of it, durable where it is a file. */
MUST_CHECK int archive_finish(struct archive *archive);

#endif
