/* SPDX-License-Identifier: Apache-2.0 */
/* What a backing object says about itself: which DEK it is under, and which object it is. */
#ifndef SNAPCRYPT_FS_STORE_OBJECT_H
#define SNAPCRYPT_FS_STORE_OBJECT_H

#include <sys/types.h>

#include "fs/store/place.h"
#include "kms/crypto/dek.h"
#include "meta/bytes.h"
#include "meta/format/header.h"
#include "meta/format/sealed_value.h"
#include "meta/uuid.h"

/*
 * Read a file's header; without its MAC checked, so no key is needed.
 * -EBADMSG: there is none, or not one of this volume.  -ESTALE: it is not a regular file.
 */
MUST_CHECK int object_read_header(const struct place *parent, const char *backing,
				  struct header *ret_header, uint8_t data[static HEADER_SIZE]);

/* 0; -EBADMSG: it is not what was written under DEK. */
MUST_CHECK int object_verify_header(const struct dek *dek, const uint8_t data[static HEADER_SIZE]);

/* Sealed bytes of a symlink's target, in the caller's memory. */
struct stored_target {
	uint8_t data[SYMLINK_STORED_MAX];
	struct bytes sealed; /* nonce | ciphertext | tag, inside of data */
	struct uuid dek;
};
MUST_CHECK int object_read_target(const struct place *parent, const char *backing,
				  struct stored_target *ret_target);

/*
 * The DEK that an object's content is under: of a file's header or a symlink's target.
 * -ENODATA: it has none (directories, special files, snapshots without encryption).
 */
MUST_CHECK int object_dek_id(const struct place *parent, const char *backing, mode_t type,
			     struct uuid *ret_dek);

/* 0; -EROFS: it is part of a sealed snapshot too.  What has only one name cannot be. */
MUST_CHECK int object_may_change(const struct place *parent, const char *backing);

#endif
