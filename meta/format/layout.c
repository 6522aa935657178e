/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on blocks: meta/format/layout.h. */
#include "meta/format/layout.h"

#include <assert.h>
#include <errno.h>

int layout_init(uint64_t block_size, struct layout *ret_layout)
{
	for (uint8_t log2 = LAYOUT_BLOCK_LOG2_MIN; log2 <= LAYOUT_BLOCK_LOG2_MAX; log2++) {
		if (block_size != UINT64_C(1) << log2)
			continue;
		*ret_layout = (struct layout){
			.block_size_log2 = log2,
			.block_size = (uint32_t)block_size,
			.sealed_block_size = (uint32_t)block_size + LAYOUT_BLOCK_OVERHEAD,
			.plain_size_max = (LAYOUT_BLOCK_COUNT_MAX << log2) - 1,
		};
		return 0;
	}
	return -EINVAL;
}

uint64_t layout_plain_size(const struct layout *layout, uint64_t sealed_size,
			   bool *ret_is_terminated)
{
	const uint64_t body = sealed_size < LAYOUT_HEADER_SIZE ? 0
							       : sealed_size - LAYOUT_HEADER_SIZE;
	const uint64_t full_count = body / layout->sealed_block_size;
	const uint64_t rest = body % layout->sealed_block_size;
	const bool is_terminated = rest >= LAYOUT_BLOCK_OVERHEAD;

	if (ret_is_terminated)
		*ret_is_terminated = is_terminated;
	/* Fewer bytes than the sealed size: cannot overflow. */
	return full_count * layout->block_size + (is_terminated ? rest - LAYOUT_BLOCK_OVERHEAD : 0);
}

int layout_sealed_size(const struct layout *layout, uint64_t plain_size, uint64_t *ret_sealed_size)
{
	if (plain_size > layout->plain_size_max)
		return -EFBIG;
	*ret_sealed_size = layout_sealed_offset(layout, layout_block_index(layout, plain_size)) +
			   layout_block_offset(layout, plain_size) + LAYOUT_BLOCK_OVERHEAD;
	return 0;
}

int layout_check_range(const struct layout *layout, uint64_t plain_offset, uint64_t size)
{
	uint64_t end;

	if (__builtin_add_overflow(plain_offset, size, &end) || end > layout->plain_size_max)
		return -EFBIG;
	return 0;
}

uint32_t layout_block_fill(const struct layout *layout, uint64_t plain_size, uint64_t index)
{
	const uint64_t last = layout_block_index(layout, plain_size);

	if (index < last)
		return layout->block_size;
	return index == last ? layout_block_offset(layout, plain_size) : 0;
}

uint64_t layout_plain_offset(const struct layout *layout, uint64_t index)
{
	assert(index <= LAYOUT_BLOCK_COUNT_MAX);
	return index << layout->block_size_log2;
}

uint64_t layout_sealed_offset(const struct layout *layout, uint64_t index)
{
	assert(index <= LAYOUT_BLOCK_COUNT_MAX);
	return LAYOUT_HEADER_SIZE + index * layout->sealed_block_size;
}

uint64_t layout_sealed_index(const struct layout *layout, uint64_t sealed_offset)
{
	assert(sealed_offset >= LAYOUT_HEADER_SIZE);
	return (sealed_offset - LAYOUT_HEADER_SIZE) / layout->sealed_block_size;
}
