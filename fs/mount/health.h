/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Are the keys in use still allowed?  A thread asks each key service once per interval, for one stored slot of each KEK under which
 * a DEK is or was open.  A definite no, said twice, withdraws all DEKs of that KEK; a yes gives them back.
 */
#ifndef SNAPCRYPT_FS_MOUNT_HEALTH_H
#define SNAPCRYPT_FS_MOUNT_HEALTH_H

#include "fs/mount/mount.h"

struct health;

MUST_CHECK int health_create(struct mount *mount, struct health **ret_health);
void health_free(struct health *health); /* ends the thread; accepts NULL */

/* Ask now. */
void health_probe(struct health *health);

MUST_CHECK int health_status(struct health *health, struct mount_key_status **ret_keys,
			     size_t *ret_count);

#endif
