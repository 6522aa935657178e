/* SPDX-License-Identifier: Apache-2.0 */
/* Asking key services about many KEKs. */
#ifndef SNAPCRYPT_FS_MOUNT_HEALTH_PROBE_H
#define SNAPCRYPT_FS_MOUNT_HEALTH_PROBE_H

#include <stdatomic.h>

#include "fs/mount/health_keys.h"
#include "fs/mount/mount.h"
#include "kms/kms.h"

/* One KEK that is asked, and its answer.  KEY_STATE_UNKNOWN: none that says anything about it. */
struct probe {
	struct watched_kek *kek;
	enum key_state state;
	struct kms_error error;
};

/* Fill STATE and ERROR of each; returns when all have answered, or soon after IS_CANCELLED is set. */
void probe_all(struct kms *kms, struct probe *probes, size_t count,
	       const atomic_bool *is_cancelled);

/* What is told to event_command when a key is found in STATE. */
const char *probe_event_name(enum key_state state);

/* Are the slots of KEK under another version than INFO says that new ones are? */
bool probe_shows_old_version(const struct watched_kek *kek, const struct kms_key_info *info);

/* Write a withdrawal of KEK, or with code 0 its return, to the audit log. */
void probe_write_down(const struct mount *mount, const struct watched_kek *kek,
		      const struct kms_error *outcome);

#endif
