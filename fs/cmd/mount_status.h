/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount tells `status` about itself. */
#ifndef SNAPCRYPT_FS_CMD_MOUNT_STATUS_H
#define SNAPCRYPT_FS_CMD_MOUNT_STATUS_H

#include <stdbool.h>

#include "fs/document.h"
#include "fs/mount/mount.h"
#include "fs/mount/seal.h"

struct mount_status_source {
	struct mount *mount;
	const struct mount_options *options;
	bool is_write_only;
	bool has_event_command;
};

/* Callbacks of struct control_options; ARG is a struct mount_status_source. */
void mount_status_fill(void *arg, struct json_object *mount, struct json_object *keys);
void mount_status_probe(void *arg);

/* How a snapshot is sealed under this mount. */
struct seal_options mount_status_seal_options(void *arg, bool seals_dependencies);
void mount_status_removed(void *arg, const char *snapshot);

#endif
