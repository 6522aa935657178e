/* SPDX-License-Identifier: Apache-2.0 */
/* Tags, holds and own retention of snapshots: labels records of a volume.  Thread-safe. */
#ifndef SNAPCRYPT_FS_STORE_LABELS_H
#define SNAPCRYPT_FS_STORE_LABELS_H

#include "fs/store/store.h"
#include "meta/records/labels_record.h"

/*
 * The labels that count: of a snapshot without any, an empty record of generation 0.  Where no writer is trusted, only the holds
 * are there.  -EBADMSG: below what this host has seen, or not whole: nothing may be deleted.  labels_record_free().
 */
MUST_CHECK int labels_load(struct store *store, const struct uuid *snapshot,
			   struct labels_record *ret_record);

/* Store RECORD as the next generation; fills generation, volume and time, signs, publishes, remembers. */
MUST_CHECK int labels_publish(struct store *store, struct labels_record *record);

#endif
