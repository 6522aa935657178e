/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of an opened, writable volume: made by the mount when one is there, else by the command
 * itself.
 */
#ifndef SNAPCRYPT_FS_CONTROL_CHANGES_H
#define SNAPCRYPT_FS_CONTROL_CHANGES_H

#include "fs/config/config.h"
#include "fs/store/snapshot.h"
#include "fs/store/store.h"
#include "kms/kms.h"

/*
 * Borrowed.
 *
 *   removed   told the name of each snapshot that was deleted; NULL: nobody serves the volume
 */
struct change_target {
	struct store *store;
	struct trust *trust;
	struct kms *kms;
	const struct config *config;
	const char *volume_name; /* NAME of the [volume] section, or NULL */
	void (*removed)(void *arg, const char *name);
	void *arg;
};

/* New snapshots get their data keys from the KEK at URI, which is tried first.  RET_KEY_ID: canonical. */
MUST_CHECK int change_default_key(const struct change_target *target, const char *uri,
				  char ret_key_id[static KEY_ID_SIZE], struct store_error *reterr);

/*
 * Trust the data keys of a snapshot for writing.  Each is opened first, so that only one that its
 * KEK has wrapped for this snapshot is trusted.
 *
 *   ret_count   how many were not trusted before
 */
MUST_CHECK int change_trust_keys(const struct change_target *target, const char *snapshot,
				 size_t *ret_count, struct store_error *reterr);

/*
 * A snapshot by its name, its UUID, `.`, `latest` or `latest-any`.  RET_FD: its directory, opened;
 * may be NULL.  -ENOENT with a message; exit 20 for `latest` where none is sealed.
 */
MUST_CHECK int change_find_snapshot(struct store *store, const char *text,
				    struct snapshot **ret_snapshot, int *ret_fd,
				    struct store_error *reterr);

#endif
