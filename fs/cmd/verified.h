/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run of verify has found in order, kept in the state directory until it ends, so that --resume goes on behind it.
 * Thread-safe.  Where the state directory cannot be written, nothing is kept.
 */
#ifndef SNAPCRYPT_FS_CMD_VERIFIED_H
#define SNAPCRYPT_FS_CMD_VERIFIED_H

#include <stdbool.h>

#include "meta/macros.h"
#include "meta/uuid.h"

struct verified;

/* RESUMES: take up what the last run kept; else begin anew.  -ENOMEM. */
MUST_CHECK int verified_open(const char *state_dir, const struct uuid *volume, bool resumes,
			     struct verified **ret_verified);

/* IS_WHOLE: the run has come to its end, nothing is to be kept.  Accepts NULL. */
void verified_close(struct verified *verified, bool is_whole);

bool verified_has(struct verified *verified, const struct uuid *snapshot, const char *path);
void verified_add(struct verified *verified, const struct uuid *snapshot, const char *path);

#endif
