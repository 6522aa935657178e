/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting right what verify finds, where that needs no invention: ends of files, what a manifest says about objects, index
 * attributes.  What cannot be authenticated is moved aside.  Nobody else has the volume open.
 */
#ifndef SNAPCRYPT_FS_STORE_REPAIR_H
#define SNAPCRYPT_FS_STORE_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/store/finding.h"
#include "fs/store/sealed_view.h"
#include "fs/store/snapshot.h"
#include "meta/macros.h"

enum repair_action {
	REPAIR_NOTHING,    /* no honest way */
	REPAIR_TERMINATE,  /* write the last block that is missing */
	REPAIR_CUT,        /* move a torn last block aside, then the same */
	REPAIR_METADATA,   /* mode, owner, time and attributes from the manifest */
	REPAIR_INDEX,      /* index attributes */
	REPAIR_QUARANTINE, /* move it to .snapcrypt/quarantine */
	REPAIR_NAMES,      /* the same with every name of a directory that does not decrypt */
	REPAIR_ACTION_COUNT,
};
const char *repair_action_name(enum repair_action action);

/*
 * What a finding is about.
 *
 *   fd    the snapshot's directory
 *   view  its manifest; NULL: it is not sealed
 *   path  as in the finding
 */
struct repair_object {
	struct snapshot *snapshot;
	int fd;
	struct sealed_view *view;
	const char *path;
};

/* What can be done about it.  Changes nothing. */
MUST_CHECK int repair_plan(const struct repair_object *object, enum finding_class class,
			   enum repair_action *ret_action);

/*
 * Do it, on a writable store.  -EALREADY: there is nothing to do any more.  -EACCES: under a data key that is not trusted here,
 * which nothing is written under.
 */
MUST_CHECK int repair_apply(const struct repair_object *object, enum repair_action action);

/* Remove sidecars of long names whose entry is gone, below a snapshot that is not sealed; *COUNT of them, with IS_DRY none. */
MUST_CHECK int repair_sidecars(struct snapshot *snapshot, int fd, bool is_dry, uint64_t *count);

/*
 * Remove key records that nothing needs, and needed-by markers of snapshots that no longer do: with IS_DRY only counted.
 * -EAGAIN: not everything could be read, so nothing is known to be unneeded, and nothing was removed.
 */
struct repair_left_overs {
	uint64_t records;
	uint64_t markers;
};
MUST_CHECK int repair_keys(struct store *store, bool is_dry, struct repair_left_overs *ret_counts,
			   struct store_error *reterr);

#endif
