/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a volume record: what decodes can be encoded, and decodes to the same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "meta/records/volume_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The line that stands for a decoded record. */
static char *encode(struct volume_record *record)
{
	char *line = NULL;

	if (volume_record_encode(record, &line) < 0)
		abort();
	return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct volume_record record;
	struct volume_record again;
	char *line;
	char *second;

	if (volume_record_decode((struct bytes){ data, size }, &record) < 0)
		return 0;
	line = encode(&record);
	if (volume_record_decode(bytes_from_text(line), &again) < 0)
		abort();
	second = encode(&again);
	if (strcmp(line, second) != 0)
		abort();
	free(line);
	free(second);
	volume_record_free(&record);
	volume_record_free(&again);
	return 0;
}
