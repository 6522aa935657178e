/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deleting snapshots, and what nothing needs any more: key records, markers, manifests, labels.  On a writable store only.
 *
 * In this order, each step durable before the next: the tombstone; with `shreds` the wrapped keys; the directory out of the volume's
 * tree; its content.  A crash leaves a snapshot that has a tombstone and is still there, or a directory in tmp/: deleting again, or
 * the next prune, goes on.
 */
#ifndef SNAPCRYPT_FS_STORE_REMOVAL_H
#define SNAPCRYPT_FS_STORE_REMOVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/store/snapshot.h"

/*
 *   reason   for the tombstone
 *   shreds   remove all generations of its wrapped keys at once, before its content
 */
struct removal {
	const char *reason;
	bool shreds;
};

/*
 * Delete a snapshot.  RET_SHREDDED (with shreds; free() it): data keys that are gone.
 * -EPERM, exit 5: held, its labels cannot be believed, or with `shreds` another snapshot needs one of its data keys; -EINVAL: root,
 * foreign or duplicate; -EROFS.
 */
MUST_CHECK int snapshot_remove(struct snapshot *snapshot, const struct removal *removal,
			       struct uuid **ret_shredded, size_t *ret_count,
			       struct store_error *reterr);

/* May it be deleted?  What snapshot_remove() checks first, without doing anything. */
MUST_CHECK int snapshot_may_remove(struct snapshot *snapshot, const struct removal *removal,
				   struct store_error *reterr);

/* Does a tombstone of a trusted writer say that it is deleted?  Then its deletion was interrupted. */
MUST_CHECK int store_is_buried(struct store *store, const struct uuid *snapshot,
			       bool *ret_is_buried);

/*
 * Remove what interrupted deletions left, and what nothing needs any more.
 *
 *   deks      removed with all generations of their key records; owned
 *   key_ids   Encryption Key IDs of their primary slots, each once; owned, as the array is
 *   markers   how many needed-by markers were removed
 */
struct sweep {
	struct uuid *deks;
	size_t dek_count;
	char **key_ids;
	size_t key_id_count;
	uint64_t markers;
};
void sweep_free(struct sweep *sweep);

/* -EAGAIN: the volume could not be read whole, so nothing was removed; text says so. */
MUST_CHECK int store_sweep(struct store *store, struct sweep *ret_sweep,
			   struct store_error *reterr);

#endif
