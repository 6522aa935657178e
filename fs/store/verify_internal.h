/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of verifying; for fs/store/verify*.c only. */
#ifndef SNAPCRYPT_FS_STORE_VERIFY_INTERNAL_H
#define SNAPCRYPT_FS_STORE_VERIFY_INTERNAL_H

#include "fs/store/sealed_compare.h"
#include "fs/store/verify.h"
#include "fs/store/walk.h"
#include "fs/store/xattr.h"

/* VIEW: its manifest where it is sealed, else NULL. */
struct verifying {
	const struct verify_options *options;
	struct snapshot *snapshot;
	struct sealed_view *view;
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
/* The index attribute alone. */
MUST_CHECK int verify_index(struct verifying *verifying, const struct xattr_target *target,
			    const char *path);
MUST_CHECK int verify_symlink(struct verifying *verifying, const struct walk_item *item,
			      const char *path);

/* ---- verify_sealed.c ------------------------------------------------------------------------- */

/*
 * The seal of the snapshot and its manifest: verifying->view is set where it is sealed.  1: what was sealed cannot be known,
 * which is reported.
 */
MUST_CHECK int verify_seal(struct verifying *verifying);

/* What is below against the manifest.  1: the object is not there, or another one is; reported. */
MUST_CHECK int verify_against_manifest(struct verifying *verifying, const struct sealed_item *item,
				       const char *path);

/* What is below and not in the manifest. */
MUST_CHECK int verify_added(struct verifying *verifying, const struct walk_directory *directory);

/* ---- verify_structure.c ---------------------------------------------------------------------- */

MUST_CHECK int verify_structure(struct verifying *verifying, int fd);

#endif
