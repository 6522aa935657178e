/* SPDX-License-Identifier: Apache-2.0 */
/* What a record does to the bytes and the size of its file.  Pure; for journal*.c and recovery*.c. */
#ifndef SNAPCRYPT_FS_STORE_JOURNAL_EFFECT_H
#define SNAPCRYPT_FS_STORE_JOURNAL_EFFECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* DATA of SIZE bytes go to OFFSET; then the file ends at RESULT if exact, or is at least that long. */
struct journal_effect {
	uint64_t offset;
	size_t size;
	uint64_t result;
	bool is_exact;
};

/*
 * In a window of the file: SIZE bytes of the record's data from FROM come to TO; what lies from KEPT on does not exist any
 * more and reads as zeros, should a later record make the file longer again.
 */
struct journal_overlap {
	size_t from;
	size_t to;
	size_t size;
	size_t kept;
};

static inline struct journal_overlap journal_overlap(const struct journal_effect *effect,
						     uint64_t window, size_t window_size)
{
	const uint64_t end = effect->offset + effect->size;
	const uint64_t window_end = window + window_size;
	const uint64_t first = effect->offset > window ? effect->offset : window;
	const uint64_t last = end < window_end ? end : window_end;
	struct journal_overlap overlap = { .kept = window_size };

	if (first < last) {
		overlap.from = (size_t)(first - effect->offset);
		overlap.to = (size_t)(first - window);
		overlap.size = (size_t)(last - first);
	}
	if (effect->is_exact && effect->result < window_end)
		overlap.kept = effect->result > window ? (size_t)(effect->result - window) : 0;
	return overlap;
}

static inline uint64_t journal_size_after(const struct journal_effect *effect, uint64_t size)
{
	const uint64_t end = effect->offset + effect->size;

	if (effect->is_exact)
		return effect->result;
	if (effect->size > 0 && end > size)
		size = end;
	return effect->result > size ? effect->result : size;
}

#endif
