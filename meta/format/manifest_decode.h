/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed records of a manifest as they are, unchecked; for manifest_read.c. */
#ifndef SNAPCRYPT_META_FORMAT_MANIFEST_DECODE_H
#define SNAPCRYPT_META_FORMAT_MANIFEST_DECODE_H

#include "meta/format/fault.h"
#include "meta/format/manifest.h"

/* -EBADMSG, -ENOTSUP as manifest_open(). */
MUST_CHECK int manifest_header_decode(const uint8_t data[static MANIFEST_HEADER_SIZE],
				      struct manifest_header *ret_header,
				      const char **reterr_fault);
void manifest_directory_decode(const uint8_t data[static MANIFEST_DIRECTORY_SIZE],
			       struct manifest_directory *ret_directory);
void manifest_entry_decode(const uint8_t data[static MANIFEST_ENTRY_SIZE],
			   struct manifest_entry *ret_entry);
MUST_CHECK int manifest_object_decode(const uint8_t data[static MANIFEST_OBJECT_SIZE],
				      struct manifest_object *ret_object,
				      const char **reterr_fault);

#endif
