/* SPDX-License-Identifier: Apache-2.0 */
/* Putting a directory that nobody made through the volume on the list of plaintext snapshots. */
#ifndef SNAPCRYPT_FS_STORE_ADOPT_H
#define SNAPCRYPT_FS_STORE_ADOPT_H

#include "fs/store/snapshot.h"

/*
 * May the foreign snapshot, whose directory is open at FD, be adopted?  Looks at all that is in it.
 *
 * -EEXIST: it is listed already; -EINVAL: it is no foreign directory, or the volume has no encryption; -EPERM: there is something of
 * snapcrypt in it, so it is not known to be plaintext; text says what and where.
 */
MUST_CHECK int snapshot_may_adopt(struct snapshot *snapshot, int fd, struct store_error *reterr);

/*
 * Adopt it: first the settings of the volume that list it, then its identity.  A crash in between leaves a foreign directory that can
 * be adopted again.  RET_ID: its id from now on.
 */
MUST_CHECK int snapshot_adopt(struct snapshot *snapshot, int fd, struct uuid *ret_id,
			      struct store_error *reterr);

/* How often something was adopted since the store was opened: what was foreign may be none any more. */
unsigned snapshot_adoptions(struct store *store);

#endif
