/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keys the snapshots of a volume need, read from its backing directory without any key.
 *
 * What counts is what would have to be opened: the header of every file, the symlink targets and attributes under it, the
 * identity of a snapshot (its names), and the seal records without a tombstone.  Never the index attributes, and never a
 * needed-by marker alone: files may be gone since it was made.  The data key of a running period of a stream counts, because
 * more may come under it.
 *
 * The volume may be in use.  A link that is made meanwhile is not missed: its marker is durable before the link is there; so
 * where a marker names a data key that was found nowhere, the directories in question are looked at until they have not changed
 * between two looks.
 */
#ifndef SNAPCRYPT_FS_STORE_NEED_SCAN_H
#define SNAPCRYPT_FS_STORE_NEED_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/store/store.h"
#include "fs/store/trust.h"
#include "meta/catalog/need.h"
#include "meta/macros.h"

/*
 * Scan the volume whose backing directory is open at BACKING_FD; reads it, changes nothing.  RET_LIST: need_list_free().  Its
 * counts say what could not be read.  -ENOMEDIUM and the like as store_describe(): it is not a volume that can be read at all.
 */
MUST_CHECK int need_scan(int backing_fd, struct trust *trust, struct need_list *ret_list,
			 struct store_error *reterr);

/*
 * A text that differs once a snapshot, key record, marker, seal or entry of a snapshot's top directory was added or removed, or a
 * writable mount began or ended.  Costs no walk.
 */
struct need_fingerprint {
	struct uuid volume; /* which one it is of */
	char text[NEED_FINGERPRINT_SIZE];
};
MUST_CHECK int need_fingerprint(int backing_fd, struct trust *trust,
				struct need_fingerprint *ret_fingerprint,
				struct store_error *reterr);

/* For who deletes key records and markers: one data key that a snapshot needs.  A directory without identity has id zero. */
struct need_dek {
	struct uuid snapshot;
	struct uuid dek;
};

/*
 * The same scan, down to data keys: RET_DEKS, sorted by data key; free() it.  -EAGAIN: incomplete (something could not be read, or
 * the volume was changing), so nothing may be deleted.
 */
MUST_CHECK int need_scan_deks(int backing_fd, struct trust *trust, struct need_dek **ret_deks,
			      size_t *ret_count, struct store_error *reterr);

#endif
