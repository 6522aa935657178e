/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks of a sealed file, compared with their tags before they are opened.
 *
 * The tags of what is about to be read are fetched first and kept by the thread, because reading the manifest needs the same
 * buffers as reading the file.
 */
#include <errno.h>
#include <string.h>

#include "fs/store/file_internal.h"

/* Blocks of one chunk at any offset, of the smallest size. */
#define TAGS_MAX ((FILE_CHUNK_SIZE >> LAYOUT_BLOCK_LOG2_MIN) + 2)

static _Thread_local struct {
	uint64_t first;
	uint64_t count;
	uint8_t tags[TAGS_MAX][LAYOUT_BLOCK_TAG_SIZE];
} fetched;

int expected_tags_fetch(const struct file *file, uint64_t first, uint64_t count)
{
	int r;

	if (!file->expected)
		return 0;
	fetched.count = 0;
	if (count > TAGS_MAX)
		return -EINVAL;
	r = file->expected->read_tags(file->expected, first, (size_t)count, fetched.tags[0]);
	if (r < 0)
		return r;
	fetched.first = first;
	fetched.count = count;
	return 0;
}

bool expected_tag_is_hole(uint64_t index)
{
	return index >= fetched.first && index - fetched.first < fetched.count &&
	       bytes_are_zero((struct bytes){ fetched.tags[index - fetched.first],
					      LAYOUT_BLOCK_TAG_SIZE });
}

int expected_tags_check(const struct file *file, const struct sealed_blocks *blocks,
			uint64_t *ret_failed)
{
	const size_t step = file->layout->sealed_block_size;
	size_t left = blocks->sealed.size;
	const uint8_t *sealed = blocks->sealed.data;

	if (!file->expected)
		return 0;
	for (uint64_t i = 0; i < blocks->count; i++) {
		const uint64_t index = blocks->first + i;
		const size_t size = left < step ? left : step;

		*ret_failed = index;
		if (size < LAYOUT_BLOCK_OVERHEAD || index < fetched.first ||
		    index - fetched.first >= fetched.count)
			return -EBADMSG;
		if (memcmp(sealed + size - LAYOUT_BLOCK_TAG_SIZE,
			   fetched.tags[index - fetched.first], LAYOUT_BLOCK_TAG_SIZE) != 0)
			return -EBADMSG;
		sealed += size;
		left -= size;
	}
	*ret_failed = blocks->first;
	return 0;
}
