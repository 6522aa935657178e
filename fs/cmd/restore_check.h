/* SPDX-License-Identifier: Apache-2.0 */
/* What is checked before the first byte is restored. */
#ifndef SNAPCRYPT_FS_CMD_RESTORE_CHECK_H
#define SNAPCRYPT_FS_CMD_RESTORE_CHECK_H

#include "fs/cmd/session.h"
#include "fs/restore/marker.h"
#include "fs/restore/restore.h"
#include "fs/store/sealed_view.h"
#include "fs/store/snapshot.h"

/*
 * A directory that a snapshot is to become.
 *
 *   fd      -1: it is not there yet
 *   above   of the directory that it is made in
 */
struct restore_target {
	const char *path;
	int fd;
	int above;
	struct marker marker;
};

/* Each returns 0 or an exit code, reported with fail(). */

/*
 * May this snapshot be restored: sealed, of a trusted origin, encrypted where that is required, its keys usable?  All of its
 * data keys are unwrapped at once.
 *
 *   ret_view   its manifest; NULL: it is not sealed.  sealed_view_put()
 */
MUST_CHECK int restore_check_snapshot(struct session *session, struct snapshot *snapshot,
				      struct sealed_view **ret_view);

/* Is the target empty, or what an interrupted restore left, or --force given? */
MUST_CHECK int restore_check_target(struct session *session, struct snapshot *snapshot,
				    const char *path, struct restore_target *ret_target);
void restore_target_close(struct restore_target *target);

/* Is there room for what has been counted? */
MUST_CHECK int restore_check_space(struct session *session, const struct restore_target *target,
				   const struct restore_counts *counts);

#endif
