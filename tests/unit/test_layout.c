/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the arithmetic of meta/format/layout.h, the worked sizes of meta/FORMAT.md included. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "meta/format/layout.h"

#define GIB (UINT64_C(1) << 30)

static struct layout layout_of(uint64_t block_size)
{
	struct layout layout;

	assert_int_equal(layout_init(block_size, &layout), 0);
	return layout;
}

static uint64_t sealed_size_of(const struct layout *layout, uint64_t plain_size)
{
	uint64_t sealed_size = 0;

	assert_int_equal(layout_sealed_size(layout, plain_size, &sealed_size), 0);
	return sealed_size;
}

static void layout_init_takes_powers_of_two_in_bounds_only(void **state)
{
	static const uint64_t refused[] = { 0,
					    1,
					    2048,
					    4095,
					    4097,
					    12288,
					    65535,
					    1048577,
					    2097152,
					    UINT64_MAX,
					    UINT64_C(1) << 63 };
	struct layout layout;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_int_equal(layout_init(refused[i], &layout), -EINVAL);
	for (uint8_t log2 = 12; log2 <= 20; log2++) {
		assert_int_equal(layout_init(UINT64_C(1) << log2, &layout), 0);
		assert_int_equal(layout.block_size_log2, log2);
		assert_int_equal(layout.sealed_block_size, (1u << log2) + 28);
	}
}

static void layout_agrees_with_the_worked_sizes_of_the_format(void **state)
{
	const struct layout layout = layout_of(65536);
	static const struct {
		uint64_t plain;
		uint64_t sealed;
	} worked[] = { { 0, 156 },       { 1, 157 },       { 65535, 65691 },
		       { 65536, 65720 }, { 65537, 65721 }, { GIB, UINT64_C(1074200732) } };

	for (size_t i = 0; i < sizeof(worked) / sizeof(worked[0]); i++) {
		bool is_terminated = false;

		assert_int_equal(sealed_size_of(&layout, worked[i].plain), worked[i].sealed);
		assert_int_equal(layout_plain_size(&layout, worked[i].sealed, &is_terminated),
				 worked[i].plain);
		assert_true(is_terminated);
	}
}

static void layout_sizes_invert_each_other_around_block_boundaries(void **state)
{
	for (unsigned log2 = 12; log2 <= 20; log2++) {
		const struct layout layout = layout_of(UINT64_C(1) << log2);
		const uint64_t around[] = { 0, 1, 2, 3, 1000, LAYOUT_BLOCK_COUNT_MAX - 1 };

		for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++) {
			for (int64_t delta = -40; delta <= 40; delta++) {
				const uint64_t base = around[i] * layout.block_size;
				bool is_terminated = false;

				if (delta < 0 && base == 0)
					continue;

				const uint64_t plain = base + (uint64_t)delta;
				const uint64_t sealed = sealed_size_of(&layout, plain);

				assert_int_equal(layout_plain_size(&layout, sealed, &is_terminated),
						 plain);
				assert_true(is_terminated);
			}
		}
	}
}

static void layout_calls_a_cut_last_block_unterminated(void **state)
{
	const struct layout layout = layout_of(4096);
	bool is_terminated = true;

	for (uint64_t size = 0; size < 156; size++) {
		assert_int_equal(layout_plain_size(&layout, size, &is_terminated), 0);
		assert_false(is_terminated);
	}
	assert_int_equal(layout_plain_size(&layout, 156, &is_terminated), 0);
	assert_true(is_terminated);
	for (uint64_t rest = 0; rest < 28; rest++) {
		assert_int_equal(layout_plain_size(&layout, 128 + 4124 * 3 + rest, &is_terminated),
				 3 * 4096);
		assert_false(is_terminated);
	}
	/* The largest last block: one byte more and it would be a full block without a last one. */
	assert_int_equal(layout_plain_size(&layout, 128 + 4123, &is_terminated), 4095);
	assert_true(is_terminated);
	assert_int_equal(layout_plain_size(&layout, 128 + 4124, NULL), 4096);
}

static void layout_plain_size_takes_any_backing_size(void **state)
{
	const struct layout layout = layout_of(4096);

	assert_true(layout_plain_size(&layout, INT64_MAX, NULL) < INT64_MAX);
	assert_true(layout_plain_size(&layout, UINT64_MAX, NULL) < UINT64_MAX);
}

static void layout_refuses_files_beyond_the_last_block(void **state)
{
	const struct layout layout = layout_of(4096);
	const uint64_t largest = (UINT64_C(4096) << 32) - 1;
	uint64_t sealed_size = 0;

	assert_int_equal(layout.plain_size_max, largest);
	assert_int_equal(layout_sealed_size(&layout, largest, &sealed_size), 0);
	assert_int_equal(layout_block_count(&layout, largest), LAYOUT_BLOCK_COUNT_MAX);
	assert_int_equal(layout_sealed_size(&layout, largest + 1, &sealed_size), -EFBIG);
	assert_int_equal(layout_sealed_size(&layout, UINT64_MAX, &sealed_size), -EFBIG);
	assert_int_equal(layout_check_range(&layout, largest - 1, 1), 0);
	assert_int_equal(layout_check_range(&layout, largest, 1), -EFBIG);
	assert_int_equal(layout_check_range(&layout, UINT64_MAX, 2), -EFBIG);
	assert_int_equal(layout_check_range(&layout, 2, UINT64_MAX), -EFBIG);

	const struct layout widest = layout_of(1048576);

	assert_true(sealed_size_of(&widest, widest.plain_size_max) < INT64_MAX);
}

static void layout_places_blocks(void **state)
{
	const struct layout layout = layout_of(4096);

	assert_int_equal(layout_sealed_offset(&layout, 0), 128);
	assert_int_equal(layout_sealed_offset(&layout, 2), 128 + 2 * 4124);
	assert_int_equal(layout_plain_offset(&layout, 2), 8192);
	assert_int_equal(layout_block_index(&layout, 8191), 1);
	assert_int_equal(layout_block_index(&layout, 8192), 2);
	assert_int_equal(layout_block_offset(&layout, 8191), 4095);
	assert_int_equal(layout_block_offset(&layout, 8192), 0);
	assert_int_equal(layout_sealed_index(&layout, 128), 0);
	assert_int_equal(layout_sealed_index(&layout, 128 + 4123), 0);
	assert_int_equal(layout_sealed_index(&layout, 128 + 4124), 1);
	assert_int_equal(layout_block_count(&layout, 0), 1);
	assert_int_equal(layout_block_count(&layout, 4095), 1);
	assert_int_equal(layout_block_count(&layout, 4096), 2);
	assert_int_equal(layout_block_fill(&layout, 8200, 0), 4096);
	assert_int_equal(layout_block_fill(&layout, 8200, 2), 8);
	assert_int_equal(layout_block_fill(&layout, 8200, 3), 0);
	assert_int_equal(layout_block_fill(&layout, 8192, 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout_init_takes_powers_of_two_in_bounds_only),
		cmocka_unit_test(layout_agrees_with_the_worked_sizes_of_the_format),
		cmocka_unit_test(layout_sizes_invert_each_other_around_block_boundaries),
		cmocka_unit_test(layout_calls_a_cut_last_block_unterminated),
		cmocka_unit_test(layout_plain_size_takes_any_backing_size),
		cmocka_unit_test(layout_refuses_files_beyond_the_last_block),
		cmocka_unit_test(layout_places_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
