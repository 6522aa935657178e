/* SPDX-License-Identifier: Apache-2.0 */
/* Slot headers, for key_record.c. */
#ifndef SNAPCRYPT_META_RECORDS_SLOT_H
#define SNAPCRYPT_META_RECORDS_SLOT_H

#include "meta/records/fields.h"
#include "meta/records/key_record.h"
#include "meta/records/record.h"

/* Longest text of a slot header: the wrapped blob in base64url, ids, and full text maps. */
#define SLOT_HEADER_MAX ((size_t)128 * 1024)

/* Read slot->header into the other members.  -EBADMSG, -ENOTSUP. */
MUST_CHECK int slot_decode_header(struct slot *slot);

#endif
