/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A snapshot written into another volume, under that volume's keys: a sink for restoring (fs/restore/sink.h).
 *
 * Every object is made by the engine, as a mount would: names, contents, targets and attributes are encrypted anew under a data
 * key of that volume, with ids of their own.  Nothing of the source's ciphertext is taken over.
 */
#ifndef SNAPCRYPT_FS_EXPORT_VOLUME_COPY_H
#define SNAPCRYPT_FS_EXPORT_VOLUME_COPY_H

#include "fs/restore/sink.h"
#include "fs/store/snapshot.h"
#include "meta/macros.h"

struct volume_copy;

/* SNAPSHOT: empty, of a writable store; its directory is open at FD.  Both borrowed. */
MUST_CHECK int volume_copy_new(struct snapshot *snapshot, int fd, struct volume_copy **ret_copy);
void volume_copy_free(struct volume_copy *copy); /* accepts NULL */

const struct restore_sink *volume_copy_sink(const struct volume_copy *copy);

#endif
