/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an identity: what decodes can be encoded, and decodes to the same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "meta/records/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The line that stands for a decoded record. */
static char *encode(struct identity *record)
{
	char *line = NULL;

	if (identity_encode_mac_input(record) < 0)
		abort();
	if (identity_encode(record, &line) < 0)
		abort();
	return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct identity record;
	struct identity again;
	char *line;
	char *second;

	if (identity_decode((struct bytes){ data, size }, &record) < 0)
		return 0;
	line = encode(&record);
	if (identity_decode(bytes_from_text(line), &again) < 0)
		abort();
	second = encode(&again);
	if (strcmp(line, second) != 0)
		abort();
	free(line);
	free(second);
	identity_free(&record);
	identity_free(&again);
	return 0;
}
