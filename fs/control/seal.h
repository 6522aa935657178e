/* SPDX-License-Identifier: Apache-2.0 */
/* Sealing a snapshot for a command: by the mount when one is there, else by the command itself. */
#ifndef SNAPCRYPT_FS_CONTROL_SEAL_H
#define SNAPCRYPT_FS_CONTROL_SEAL_H

#include "fs/document.h"
#include "fs/store/seal.h"

/*
 * Seal the snapshot that TEXT names (changes.h) and describe its seal in OBJECT, as packaging/schema/snapshot-seal.json has it.
 * OPTIONS: those of the mount, or none.
 */
MUST_CHECK int change_seal(struct store *store, const char *text,
			   const struct seal_options *options, struct json_object *object,
			   struct store_error *reterr);

/* A seal as snapshot-show.json and snapshot-seal.json have it. */
void seal_document(const struct seal *seal, struct json_object *object);

#endif
