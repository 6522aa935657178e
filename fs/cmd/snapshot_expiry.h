/* SPDX-License-Identifier: Apache-2.0 */
/* When snapshots go, as far as their own retention and the volume's rules tell. */
#ifndef SNAPCRYPT_FS_CMD_SNAPSHOT_EXPIRY_H
#define SNAPCRYPT_FS_CMD_SNAPSHOT_EXPIRY_H

#include "fs/cmd/session.h"
#include "fs/cmd/snapshot_row.h"

/*
 * Fill `retention` and `expires_s` of every row: what prune would say now.  Rules and labels that cannot be read leave them
 * unknown; verify and prune say why.  -ENOMEM.
 */
MUST_CHECK int snapshot_expiry_read(struct session *session, struct snapshot_rows *rows);

#endif
