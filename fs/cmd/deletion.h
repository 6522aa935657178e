/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting, sweeping and labels for commands: by the mount where there is one, else here.  Failures are reported. */
#ifndef SNAPCRYPT_FS_CMD_DELETION_H
#define SNAPCRYPT_FS_CMD_DELETION_H

#include "fs/cmd/session.h"
#include "fs/control/retention_change.h"

/* MOUNT: as session_open_change() gave it. */
struct deletion {
	struct session *session;
	const struct control_mount *mount;
};

/* 0 or an exit code, reported.  With shreds, the other mounts of this host are told. */
MUST_CHECK int deletion_run(const struct deletion *deletion, const struct delete_change *change,
			    struct json_object **ret_shredded);

/* RET_SWEEP: as sweep_document() fills it. */
MUST_CHECK int deletion_sweep(const struct deletion *deletion, struct json_object **ret_sweep);

MUST_CHECK int deletion_label(const struct deletion *deletion, const char *snapshot,
			      const struct label_change *change);

/* Of the keys in a sweep's "encryption_key_ids": those that nothing in the volume needs any more. */
MUST_CHECK int deletion_unneeded_keys(const struct deletion *deletion,
				      const struct json_object *sweep,
				      struct json_object **ret_key_ids);

/* Say which keys these are, and what to do before one is deleted. */
void deletion_print_unneeded(const struct json_object *key_ids);

struct change_target deletion_target(const struct deletion *deletion);

#endif
