/* SPDX-License-Identifier: Apache-2.0 */
/* Every data key of a volume, from its key records alone. */
#ifndef SNAPCRYPT_FS_STORE_KEY_LIST_H
#define SNAPCRYPT_FS_STORE_KEY_LIST_H

#include "fs/store/store.h"

/*
 * VISIT each key record that counts, in no order.  One that cannot be read is visited with RECORD
 * NULL and the error.  A result of VISIT other than 0 ends it and is returned.
 */
typedef int (*key_list_visit)(void *arg, const struct uuid *dek, const struct key_record *record,
			      enum trust_origin origin, int error);

MUST_CHECK int key_list_each(struct store *store, key_list_visit visit, void *arg);

/* The snapshots that have files under a DEK of another: free() the array. */
MUST_CHECK int key_list_needed_by(struct store *store, const struct uuid *dek,
				  struct uuid **ret_snapshots, size_t *ret_count);

#endif
