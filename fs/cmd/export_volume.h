/* SPDX-License-Identifier: Apache-2.0 */
/* export --to-key: a volume of its own under another party's key, with one snapshot. */
#ifndef SNAPCRYPT_FS_CMD_EXPORT_VOLUME_H
#define SNAPCRYPT_FS_CMD_EXPORT_VOLUME_H

#include "fs/cmd/restoring.h"
#include "fs/export/volume_copy.h"
#include "fs/store/seal.h"

/*
 *   kms       knows the other party's key only, and never unwraps: wrapping is all that this host may need to be allowed
 *   seal      once it is sealed
 */
struct export_volume {
	struct kms *kms;
	char key_id[KEY_ID_SIZE];
	char writer[WRITER_FINGERPRINT_SIZE];
	int backing_fd;
	struct volume_record record;
	struct store *store;
	struct snapshot *snapshot;
	struct uuid snapshot_id;
	int snapshot_fd;
	struct volume_copy *copy;
	struct seal seal;
};

void export_volume_init(struct export_volume *volume);
void export_volume_close(struct export_volume *volume);

/* Each returns 0 or an exit code, reported with fail(). */

/* May the key at URI protect new data, and is the target a place for a volume? */
MUST_CHECK int export_volume_check(struct restoring *restoring, struct export_volume *volume,
				   const char *uri);

/* Make the volume, and an empty snapshot in it. */
MUST_CHECK int export_volume_make(struct restoring *restoring, struct export_volume *volume,
				  const char *uri);

/* Seal the snapshot; the volume is released. */
MUST_CHECK int export_volume_seal(struct restoring *restoring, struct export_volume *volume);

/* "volume", "snapshot", "encryption_key_id", "writer", "root" of it. */
struct json_object *export_volume_document(const struct export_volume *volume);

#endif
