/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the blocks of a file lie.  Format: meta/FORMAT.md, "Blocks".
 *
 * Plain offsets and sizes are what users see; sealed ones are those of the backing file, header
 * included.  Every block but the last is full, the last is always short: so the last block's index
 * is the plain size divided by the block size.
 */
#ifndef SNAPCRYPT_META_FORMAT_LAYOUT_H
#define SNAPCRYPT_META_FORMAT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/macros.h"

#define LAYOUT_HEADER_SIZE     128
#define LAYOUT_BLOCK_OVERHEAD  28 /* nonce 12, tag 16 */
#define LAYOUT_BLOCK_TAG_SIZE  16
#define LAYOUT_BLOCK_LOG2_MIN  12
#define LAYOUT_BLOCK_LOG2_MAX  20
#define LAYOUT_BLOCK_COUNT_MAX (UINT64_C(1) << 32)
#define LAYOUT_EMPTY_FILE_SIZE (LAYOUT_HEADER_SIZE + LAYOUT_BLOCK_OVERHEAD)

/* Sizes that are fixed for a volume.  plain_size_max: of the largest file. */
struct layout {
	uint8_t block_size_log2;
	uint32_t block_size;
	uint32_t sealed_block_size;
	uint64_t plain_size_max;
};

/* -EINVAL: not a power of two from 4 KiB to 1 MiB. */
MUST_CHECK int layout_init(uint64_t block_size, struct layout *ret_layout);

/* The plain size of a backing file.  Unterminated: its last block is missing or cut; what counts
 * are the full blocks. */
uint64_t layout_plain_size(const struct layout *layout, uint64_t sealed_size,
			   bool *ret_is_terminated);

/* The backing size of a file.  -EFBIG: too large. */
MUST_CHECK int layout_sealed_size(const struct layout *layout, uint64_t plain_size,
				  uint64_t *ret_sealed_size);

/* 0, or -EFBIG: a file cannot reach from 0 to OFFSET + SIZE (plain). */
MUST_CHECK int layout_check_range(const struct layout *layout, uint64_t plain_offset,
				  uint64_t size);

/* The block that holds a plain offset; in a file of that plain size: its last block. */
static inline uint64_t layout_block_index(const struct layout *layout, uint64_t plain_offset)
{
	return plain_offset >> layout->block_size_log2;
}

/* A plain offset's distance from its block's beginning; in a file of that plain size: the size of
 * the last block. */
static inline uint32_t layout_block_offset(const struct layout *layout, uint64_t plain_offset)
{
	return (uint32_t)plain_offset & (layout->block_size - 1);
}

/* Blocks of a file, the last one included. */
static inline uint64_t layout_block_count(const struct layout *layout, uint64_t plain_size)
{
	return layout_block_index(layout, plain_size) + 1;
}

/* Plaintext bytes in block INDEX of a file; 0 beyond its end. */
uint32_t layout_block_fill(const struct layout *layout, uint64_t plain_size, uint64_t index);

/* Where a block begins, plain and sealed.  INDEX: at most LAYOUT_BLOCK_COUNT_MAX. */
uint64_t layout_plain_offset(const struct layout *layout, uint64_t index);
uint64_t layout_sealed_offset(const struct layout *layout, uint64_t index);

/* The block in which a sealed offset (not before the end of the header) lies. */
uint64_t layout_sealed_index(const struct layout *layout, uint64_t sealed_offset);

#endif
