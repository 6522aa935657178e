/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX ACLs as text, from what Linux keeps in system.posix_acl_*.  Ids are numbers. */
#ifndef SNAPCRYPT_FS_EXPORT_ACL_TEXT_H
#define SNAPCRYPT_FS_EXPORT_ACL_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "meta/macros.h"

/* "user::rwx,user:1234:r-x,...".  free() it.  -EBADMSG: no ACL. */
MUST_CHECK int acl_text(const uint8_t *value, size_t size, char **ret_text);

#endif
