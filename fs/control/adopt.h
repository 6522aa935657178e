/* SPDX-License-Identifier: Apache-2.0 */
/* Adopting a foreign directory as a plaintext snapshot for a command. */
#ifndef SNAPCRYPT_FS_CONTROL_ADOPT_H
#define SNAPCRYPT_FS_CONTROL_ADOPT_H

#include "fs/control/changes.h"

#define ADOPT_REQUEST "snapshot adopt"

/* Can the list of plaintext snapshots be changed?  -EINVAL: the configuration says what is on it, and counts. */
MUST_CHECK int change_check_plaintext(const struct change_target *target,
				      struct store_error *reterr);

/* Adopt the directory that NAME names (fs/store/adopt.h). */
MUST_CHECK int change_adopt(const struct change_target *target, const char *name,
			    struct uuid *ret_id, struct store_error *reterr);

#endif
