/* SPDX-License-Identifier: Apache-2.0 */
/* Mode, owner, times and extended attributes of one object: read through the engine, set on what was restored. */
#ifndef SNAPCRYPT_FS_RESTORE_ATTRIBUTES_H
#define SNAPCRYPT_FS_RESTORE_ATTRIBUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/store/sealed_view.h"
#include "fs/store/xattr.h"
#include "meta/macros.h"

/*
 *   stat    mode, owner and times count
 *   names   each with its NUL; the values stand in the same order in `values`
 *   unauthentic  how many were left out because they do not verify
 */
struct attributes {
	struct stat stat;
	char *names;
	size_t names_size;
	uint8_t *values;
	size_t values_used;
	size_t values_size;
	size_t *sizes; /* of each value */
	size_t count;
	size_t unauthentic;
};
void attributes_free(struct attributes *attributes);

/* Fill all but `stat`. */
MUST_CHECK int attributes_read(const struct xattr_target *target,
			       struct attributes *ret_attributes);
/* The same from a manifest. */
MUST_CHECK int attributes_read_sealed(struct sealed_view *view,
				      const struct manifest_object *object,
				      struct attributes *ret_attributes);

/*
 * What to set them on.
 *
 *   fd        of a regular file or directory; -1: NAME in DIR_FD, which is never followed
 *   can_chown false: owners stay ours, and so do not set-user-ID bits
 *   engine    the same object in a volume, whose engine takes the extended attributes; NULL: they are set as they are
 */
struct attributes_target {
	int fd;
	int dir_fd;
	const char *name;
	bool can_chown;
	const struct xattr_target *engine;
};

/* Times last, so that a file that has its time has all of it. */
MUST_CHECK int attributes_apply(const struct attributes *attributes,
				const struct attributes_target *target);

#endif
