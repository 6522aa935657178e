/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a sealed value: its parts are inside of it and make up the whole. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "meta/format/sealed_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bytes input = { data, size };
	uint8_t head[SEALED_VALUE_HEAD_SIZE];
	struct bytes sealed;
	struct uuid dek;

	(void)symlink_plain_size(size);
	if (sealed_value_decode(input, &dek, &sealed, NULL) < 0)
		return 0;
	sealed_value_encode_head(&dek, head);
	if (memcmp(head, data, sizeof(head)) != 0 || sealed.data != data + sizeof(head) ||
	    sealed.size != size - sizeof(head) || sealed.size < 28)
		abort();
	return 0;
}
