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

/* Is TEXT of the form of a canonical id, with or without a version? */
bool key_id_is_canonical(const char *text);

/* The version of a canonical id, inside of it; NULL: it has none. */
const char *key_id_version(const char *key_id);

#endif
