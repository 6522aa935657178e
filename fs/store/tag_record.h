/* SPDX-License-Identifier: Apache-2.0 */
/* How tags are kept in the state directory; for file_tags.c and tag_memory.c only.  Never leaves the host. */
#ifndef SNAPCRYPT_FS_STORE_TAG_RECORD_H
#define SNAPCRYPT_FS_STORE_TAG_RECORD_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>

#include "fs/store/trust.h"
#include "meta/format/header.h"
#include "meta/uuid.h"

#define TAG_RECORD_MAGIC UINT32_C(0x53474154)
#define TAG_LOG          "log"
#define TAG_NAME_SIZE    (2 * HEADER_OBJECT_ID_SIZE + 1)
#define TAG_PATH_SIZE    4096

/*
 * One entry of the log; the last one of an object counts.
 *
 *   count      of tags; 0: nothing is known of the object any more
 *   is_large   they are in a file of their own; otherwise they follow here
 */
struct tag_record {
	uint32_t magic;
	uint32_t is_large;
	uint64_t count;
	uint8_t object_id[HEADER_OBJECT_ID_SIZE];
	uint8_t content_id[HEADER_CONTENT_ID_SIZE];
	struct uuid boot;
};

/* The directory of a snapshot's tags.  -ENAMETOOLONG. */
static inline int tag_directory(const struct trust *trust, const struct uuid *volume,
				const struct uuid *snapshot, char path[static TAG_PATH_SIZE])
{
	char volume_text[UUID_TEXT_SIZE];
	char snapshot_text[UUID_TEXT_SIZE];

	uuid_format(volume, volume_text);
	uuid_format(snapshot, snapshot_text);
	return snprintf(path, TAG_PATH_SIZE, "%s/volumes/%s/tags/%s", trust_state_dir(trust),
			volume_text, snapshot_text) < TAG_PATH_SIZE
		       ? 0
		       : -ENAMETOOLONG;
}

/* The running kernel, so that what a crash may have lost is not believed.  Zero: not known. */
const struct uuid *tag_boot(void);

#endif
