/* SPDX-License-Identifier: Apache-2.0 */
/* One block of a file: nonce | ciphertext | tag.  Format: meta/FORMAT.md, "Blocks" and "Holes". */
#ifndef SNAPCRYPT_META_FORMAT_BLOCK_H
#define SNAPCRYPT_META_FORMAT_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/format/layout.h"

#define BLOCK_AAD_SIZE 8

/* What ties a block to its place in the file; the file key ties it to the file. */
static inline void block_aad(uint64_t index, uint8_t aad[static BLOCK_AAD_SIZE])
{
	for (unsigned i = 0; i < BLOCK_AAD_SIZE; i++)
		aad[i] = (uint8_t)(index >> (8 * i));
}

/*
 * Is a sealed block a hole?  Only in a file whose authenticated header says sparse: elsewhere
 * whoever can write the disk could zero a block.  The last block is never one.
 */
static inline bool block_is_hole(const struct layout *layout, struct bytes sealed)
{
	return sealed.size == layout->sealed_block_size && bytes_are_zero(sealed);
}

/* The tag of a sealed block, as the manifest's list of tags has it. */
static inline struct bytes block_tag(struct bytes sealed)
{
	return (struct bytes){ sealed.data + sealed.size - LAYOUT_BLOCK_TAG_SIZE,
			       LAYOUT_BLOCK_TAG_SIZE };
}

#endif
