/* SPDX-License-Identifier: Apache-2.0 */
/* keys test --print-policy. */
#ifndef SNAPCRYPT_FS_CMD_KEYS_POLICY_H
#define SNAPCRYPT_FS_CMD_KEYS_POLICY_H

#include "fs/cmd/session.h"
#include "meta/macros.h"

/*
 * Print the smallest policy for the role of this host; asks nobody.  0, or an exit code.
 *
 *   asked_role   read-write, write-only or restore-only, in place of the configured one; or NULL
 */
MUST_CHECK int keys_print_policy(struct session *session, const char *uri, const char *asked_role);

#endif
