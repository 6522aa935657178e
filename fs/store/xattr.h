/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes, encrypted by name and value.  Format: meta/FORMAT.md, section 8. */
#ifndef SNAPCRYPT_FS_STORE_XATTR_H
#define SNAPCRYPT_FS_STORE_XATTR_H

#include <stdint.h>
#include <sys/types.h>

#include "fs/store/place.h"

/* The object that carries them: BACKING in PARENT ("" : PARENT's own directory). */
struct xattr_target {
	const struct place *parent;
	const char *backing;
	mode_t type;
};

/* Sizes as in getxattr(2): size 0 asks.  Virtual names (user.snapcrypt.key_id ...) are answered
 * here too. */
MUST_CHECK ssize_t xattr_get(const struct xattr_target *target, const char *name, uint8_t *value,
			     size_t size);
MUST_CHECK ssize_t xattr_list(const struct xattr_target *target, char *names, size_t size);
MUST_CHECK int xattr_set(const struct xattr_target *target, const char *name, const uint8_t *value,
			 size_t size, int flags);
MUST_CHECK int xattr_remove(const struct xattr_target *target, const char *name);

/* Move every attribute of a file to another DEK (O_TRUNC): new ones written, header changed by the
 * caller, old ones removed. */
struct file;
MUST_CHECK int xattr_rekey(const struct xattr_target *target, const struct uuid *from_dek,
			   const struct uuid *to_dek);

#endif
