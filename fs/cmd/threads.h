/* SPDX-License-Identifier: Apache-2.0 */
/* How many threads a command uses: --threads, else the configuration's, else as the machine has. */
#ifndef SNAPCRYPT_FS_CMD_THREADS_H
#define SNAPCRYPT_FS_CMD_THREADS_H

#include "fs/cmd/session.h"

/* Opens the configuration.  0 or an exit code, reported. */
MUST_CHECK int threads_option(struct session *session, unsigned *ret_threads);

#endif
