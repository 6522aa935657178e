/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing Encryption Key IDs: meta/NAMES.md, "Canonical Encryption Key IDs". */
#ifndef SNAPCRYPT_META_KEY_ID_H
#define SNAPCRYPT_META_KEY_ID_H

#include <stdbool.h>

/*
 * Is STORED, a canonical id as a slot has it, the key that ASKED names?  An id without version
 * names every version; a multi-Region key is the same in every region.
 */
bool key_id_matches(const char *stored, const char *asked);

#endif
