/* SPDX-License-Identifier: Apache-2.0 */
/* Plain names and backing names.  Format: meta/FORMAT.md, section 7. */
#ifndef SNAPCRYPT_FS_STORE_NAME_H
#define SNAPCRYPT_FS_STORE_NAME_H

#include <stdbool.h>

#include "fs/store/place.h"

/* A backing name and, for long ones, what its sidecar holds. */
struct backing_name {
	char text[BACKING_NAME_SIZE];
	bool is_long;
	size_t siv_size;
	uint8_t siv[16 + 255];
};

/* Is NAME ours, at any level? */
bool name_is_reserved(const char *name);

/* The backing name of NAME in PLACE.  -EPERM reserved, -ENAMETOOLONG, -EAGAIN. */
MUST_CHECK int name_encode(const struct place *place, const char *name,
			   struct backing_name *ret_backing);

/* The plain name, NUL-terminated.  -EBADMSG: does not verify; -ENODATA: a sidecar or reserved name,
 * not to be shown. */
MUST_CHECK int name_decode(const struct place *place, const char *backing, char plain[static 256]);

/* Write a long name's sidecar, durable, before its entry; remove it after the entry.  No-op for
 * short names. */
MUST_CHECK int name_prepare(const struct place *place, const struct backing_name *backing);
void name_forget(const struct place *place, const struct backing_name *backing);

#endif
