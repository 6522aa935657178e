/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount tells the operator's program: packaging/schema/event.json. */
#ifndef SNAPCRYPT_FS_CMD_MOUNT_EVENTS_H
#define SNAPCRYPT_FS_CMD_MOUNT_EVENTS_H

#include "fs/cmd/session.h"
#include "fs/event.h"
#include "fs/mount/mount.h"

/* Start what event_command says, if it is set.  0 or an exit code, reported. */
MUST_CHECK int mount_events_open(struct session *session, struct events **ret_events);

/* Send EVENT of the mount of SESSION's volume at MOUNTPOINT.  EVENTS may be NULL. */
void mount_events_send(struct events *events, const struct session *session, const char *mountpoint,
		       const struct mount_event *event);

#endif
