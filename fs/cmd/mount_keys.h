/* SPDX-License-Identifier: Apache-2.0 */
/* Are the keys of a mount usable, before it is mounted? */
#ifndef SNAPCRYPT_FS_CMD_MOUNT_KEYS_H
#define SNAPCRYPT_FS_CMD_MOUNT_KEYS_H

#include "fs/cmd/session.h"

/* The KEK of new snapshots can wrap (and unwrap, unless this host is write-only). */
MUST_CHECK int mount_keys_test_default(struct session *session);

/* Say which keys of the volume do not open; fails if there are keys and none does. */
MUST_CHECK int mount_keys_test_all(struct session *session);

#endif
