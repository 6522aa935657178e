/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of verifying; for fs/store/verify*.c only. */
#ifndef SNAPCRYPT_FS_STORE_VERIFY_INTERNAL_H
#define SNAPCRYPT_FS_STORE_VERIFY_INTERNAL_H

#include "fs/store/verify.h"
#include "fs/store/walk.h"
#include "fs/store/xattr.h"

struct verifying {
	const struct verify_options *options;
	struct snapshot *snapshot;
	struct verify_counts *counts;
	const char *name;
};

/* Report about an object of the snapshot. */
__attribute__((format(printf, 5, 6))) void verify_report(const struct verifying *verifying,
							 enum finding_class class, const char *path,
							 uint64_t block, const char *format, ...);
void verify_notice(const struct verifying *verifying, enum finding_class class, const char *path,
		   const char *text);

/* Errors after which nothing else can be looked at: a key that is gone, no memory. */
bool verify_is_fatal(int error);

/* ---- verify_file.c --------------------------------------------------------------------------- */

/* Header, size and content of a file; WAS_DONE: its content was verified before.  Returns fatal errors only. */
MUST_CHECK int verify_file(struct verifying *verifying, const struct walk_item *item,
			   const char *path, bool was_done);

/* ---- verify_object.c ------------------------------------------------------------------------- */

/* Attributes, encrypted ones and the index. */
MUST_CHECK int verify_attributes(struct verifying *verifying, const struct xattr_target *target,
				 const char *path);
MUST_CHECK int verify_symlink(struct verifying *verifying, const struct walk_item *item,
			      const char *path);

/* ---- verify_structure.c ---------------------------------------------------------------------- */

MUST_CHECK int verify_structure(struct verifying *verifying, int fd);

#endif
