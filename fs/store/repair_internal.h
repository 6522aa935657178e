/* SPDX-License-Identifier: Apache-2.0 */
/* For repair*.c only. */
#ifndef SNAPCRYPT_FS_STORE_REPAIR_INTERNAL_H
#define SNAPCRYPT_FS_STORE_REPAIR_INTERNAL_H

#include <sys/stat.h>

#include "fs/store/name.h"
#include "fs/store/repair.h"
#include "fs/store/sealed_compare.h"

/*
 * Where an object is.
 *
 *   place    the directory that holds it; its fd is ours
 *   backing  "": PLACE's own directory
 */
struct repair_location {
	struct place place;
	char path[4096];
	char backing[BACKING_NAME_SIZE];
	struct stat stat; /* of what is there */
	uint64_t index;   /* in the manifest */
	struct manifest_object sealed;
	bool is_in_manifest;
};

/* ---- repair_locate.c ------------------------------------------------------------------------- */

MUST_CHECK int repair_locate(const struct repair_object *object,
			     struct repair_location *ret_location);
void repair_location_cleanup(struct repair_location *location);

/* ---- repair_file.c --------------------------------------------------------------------------- */

/* What is wrong with a file of an open snapshot. */
MUST_CHECK int repair_plan_file(const struct repair_location *location,
				enum repair_action *ret_action);
MUST_CHECK int repair_end(const struct repair_location *location, bool is_torn);
MUST_CHECK int repair_index(const struct repair_location *location);

/* ---- repair_metadata.c ----------------------------------------------------------------------- */

MUST_CHECK int repair_metadata(const struct repair_object *object,
			       const struct repair_location *location);

/* ---- repair_aside.c -------------------------------------------------------------------------- */

/* Move BACKING out of a directory, whose time stays. */
MUST_CHECK int repair_move_aside(const struct place *place, const char *backing);
/* Keep bytes there. */
MUST_CHECK int repair_keep_aside(const struct place *place, const char *backing,
				 const uint8_t *data, size_t size);
MUST_CHECK int repair_names(const struct place *place);

#endif
