/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a file header: what decodes is encoded to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "meta/format/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bytes input = { data, size };
	struct header_expectation expected = { .algorithm = 1, .block_size_log2 = 12 };
	struct header header;
	uint8_t encoded[HEADER_SIZE];

	/* Accept what the input itself says, so that the rest is reached. */
	if (size >= HEADER_SIZE) {
		expected.algorithm = data[10];
		expected.block_size_log2 = data[11];
		memcpy(expected.volume.bytes, data + 16, UUID_SIZE);
	}
	if (header_decode(input, &expected, &header, NULL) < 0)
		return 0;
	header_encode(&header, encoded);
	if (memcmp(encoded, data, HEADER_MAC_OFFSET) != 0)
		abort();
	return 0;
}
