/* SPDX-License-Identifier: Apache-2.0 */
/* Reporting the failure of a command, once, at the end of main(). */
#ifndef SNAPCRYPT_FS_CMD_REPORT_H
#define SNAPCRYPT_FS_CMD_REPORT_H

#include "fs/cmd/command.h"

/* One line on standard error, or one JSON object with --json.  Nothing if nothing failed. */
void report_failure(const struct invocation *invocation, int exit_code);

#endif
