/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of names; for fs/store/name*.c and entry*.c only. */
#ifndef SNAPCRYPT_FS_STORE_NAME_INTERNAL_H
#define SNAPCRYPT_FS_STORE_NAME_INTERNAL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/store/name.h"
#include "kms/crypto/siv.h"

#define NAME_SIV_MAX        (SIV_OVERHEAD + NAME_MAX)
#define NAME_LONG_MARK      '='
#define NAME_LONG_SIZE      44 /* the mark and the text of a SHA-256 */
#define NAME_SIDECAR_SUFFIX ".name"
#define NAME_SIDECAR_SIZE   (NAME_LONG_SIZE + 5 + 1)

/* The key of a place's names, NULL where they are plain; siv_key_free().  -EAGAIN: see store.h. */
MUST_CHECK int name_key(const struct place *place, struct siv_key **ret_key);

/* name_decode() with a key at hand: for those who decode many. */
MUST_CHECK int name_decode_with(const struct siv_key *key, const struct place *place,
				const char *backing, char plain[static 256]);

/* Is BACKING a sidecar?  ENTRY: whose, NAME_LONG_SIZE + 1 bytes; may be NULL. */
bool name_is_sidecar(const char *backing, char *entry);

/* The SIV bytes in the sidecar of a long backing name.  -EBADMSG: none, or not that name's. */
MUST_CHECK int name_read_sidecar(const struct place *place, const char *backing,
				 uint8_t siv[static NAME_SIV_MAX], size_t *ret_size);

#endif
