/* SPDX-License-Identifier: Apache-2.0 */
/* What can be found to be wrong with an object or a record: meta/NAMES.md, "Finding classes". */
#ifndef SNAPCRYPT_FS_STORE_FINDING_H
#define SNAPCRYPT_FS_STORE_FINDING_H

#include <stdbool.h>
#include <stdint.h>

enum finding_class {
	FINDING_TAMPERED,
	FINDING_MISSING,
	FINDING_ADDED,
	FINDING_TORN,
	FINDING_UNTERMINATED,
	FINDING_METADATA,
	FINDING_INDEX,
	FINDING_ORIGIN,
	FINDING_CLASS_COUNT,
};
const char *finding_class_name(enum finding_class class);

#define FINDING_NO_BLOCK UINT64_MAX

/*
 *   snapshot   name of the snapshot's directory; NULL: the volume itself
 *   path       plain path below it, or "" for it; of a record below .snapcrypt
 *   block      index, or FINDING_NO_BLOCK
 *   is_notice  nothing is lost; does not count for the exit code
 *   text       what is wrong
 */
struct finding {
	enum finding_class class;
	bool is_notice;
	const char *snapshot;
	const char *path;
	uint64_t block;
	const char *text;
};

#endif
