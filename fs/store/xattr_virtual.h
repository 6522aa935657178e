/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes that the mount answers itself: user.snapcrypt.key_id and the like.  For xattr.c. */
#ifndef SNAPCRYPT_FS_STORE_XATTR_VIRTUAL_H
#define SNAPCRYPT_FS_STORE_XATTR_VIRTUAL_H

#include "fs/store/xattr.h"

/* NAME is one of ours.  -ENODATA: there is none of that name, or the object has no such value. */
MUST_CHECK ssize_t xattr_virtual_get(const struct xattr_target *target, const char *name,
				     uint8_t *value, size_t size);

#endif
