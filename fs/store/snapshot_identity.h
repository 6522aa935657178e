/* SPDX-License-Identifier: Apache-2.0 */
/* The file .snapcrypt-id of a directory: writing it once, reading it with whose it is. */
#ifndef SNAPCRYPT_FS_STORE_SNAPSHOT_IDENTITY_H
#define SNAPCRYPT_FS_STORE_SNAPSHOT_IDENTITY_H

#include "fs/store/trust.h"
#include "meta/macros.h"
#include "meta/records/identity.h"

/* Sign and write the identity (its MAC is there already where it has one), durable but for the directory.  -EEXIST. */
MUST_CHECK int identity_write(struct trust *trust, int dir_fd, const struct identity *identity);

/* -ENOENT; -EBADMSG: not authentic; -ENOTSUP: newer.  identity_free() it. */
MUST_CHECK int identity_read(struct trust *trust, int dir_fd, struct identity *ret_identity,
			     enum trust_origin *ret_origin);

/* The id alone, without verifying anything: for finding two directories with one identity. */
MUST_CHECK int identity_peek(int dir_fd, const char *path, struct uuid *ret_snapshot);

#endif
