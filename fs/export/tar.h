/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a tar archive (POSIX.1-2001, "pax") to a descriptor, member by member, without seeking and in constant memory.
 *
 * Names and extended attributes are written as the bytes they are, so that they come back as they were, whatever their encoding.
 * One thread at a time.
 */
#ifndef SNAPCRYPT_FS_EXPORT_TAR_H
#define SNAPCRYPT_FS_EXPORT_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/restore/attributes.h"
#include "meta/macros.h"

struct tar;

/*
 *   path         in the archive, without a slash at the end
 *   attributes   type, mode, owner, times, device; size of files; extended attributes
 *   target       of a symlink, or the path in the archive that a further name is linked to; else NULL
 *   is_link      a further name of TARGET: of the attributes nothing counts
 *   sparse       of a file with holes; NULL: without
 */
struct tar_member {
	const char *path;
	const struct attributes *attributes;
	const char *target;
	bool is_link;
	const struct tar_sparse *sparse;
};

/*
 *   map_size    bytes of the map that stands before the data, padded to whole blocks
 *   data_size   bytes of all data
 */
struct tar_sparse {
	uint64_t map_size;
	uint64_t data_size;
};

MUST_CHECK int tar_open(int fd, struct tar **ret_tar);
void tar_free(struct tar *tar); /* accepts NULL; writes nothing */

/* Bytes of the archive so far. */
uint64_t tar_written(const struct tar *tar);

/* Begin a member.  Files: as many bytes as were promised have to follow with tar_data() (map and data of a sparse one).
 * -EOPNOTSUPP, -E2BIG, -EBADMSG (an ACL that is none): nothing was written. */
MUST_CHECK int tar_member(struct tar *tar, const struct tar_member *member);
MUST_CHECK int tar_data(struct tar *tar, const void *data, size_t size);
/* -ESTALE: more or less than promised came. */
MUST_CHECK int tar_end_member(struct tar *tar);

/* The end of the archive, and all of it on its way. */
MUST_CHECK int tar_finish(struct tar *tar);

#endif
