/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a manifest: no number in it leads a read out of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "meta/format/manifest.h"

#define RECORDS_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_input(void *arg, uint64_t offset, void *data, size_t size)
{
	const struct bytes *input = arg;

	if (offset > input->size || size > input->size - offset)
		abort();
	memcpy(data, input->data + offset, size);
	return 0;
}

static void read_all_of_object(const struct manifest *manifest, uint64_t index)
{
	struct manifest_object object;
	struct manifest_attribute attribute;
	char target[MANIFEST_TARGET_MAX + 1];

	if (manifest_read_object(manifest, index, &object, NULL) < 0)
		return;
	if (manifest_read_target(manifest, &object, target) == 0 &&
	    strlen(target) != object.target_size)
		abort();

	const struct manifest_tag_range range = { 0,
						  object.tag_count > 16 ? 16 : object.tag_count };
	uint8_t tags[16 * MANIFEST_TAG_SIZE];

	if (manifest_read_tags(manifest, &object, &range, tags) < 0)
		abort();

	uint8_t *attributes = malloc((size_t)object.attributes_size + 1);
	struct bytes left = { attributes, (size_t)object.attributes_size };

	if (!attributes || manifest_read_attributes(manifest, &object, attributes) < 0)
		abort();
	while (manifest_next_attribute(&left, &attribute) == 1)
		;
	free(attributes);
}

static void read_all_of_directory(const struct manifest *manifest, uint64_t index)
{
	struct manifest_directory directory;

	if (manifest_read_directory(manifest, index, &directory, NULL) < 0)
		return;
	for (uint64_t i = 0; i < directory.entry_count && i < RECORDS_MAX; i++) {
		char name[MANIFEST_NAME_MAX + 1];
		struct manifest_entry entry, found;

		if (manifest_read_entry(manifest, directory.first_entry + i, &entry, NULL) < 0 ||
		    manifest_read_name(manifest, &entry, name) < 0)
			continue;
		if (manifest_lookup(manifest, &directory, name, &found) == 0 &&
		    found.name_size != entry.name_size)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes input = { data, size };
	const struct manifest_source source = { read_input, &input, size };
	struct manifest_expectation expected = { 0 };
	struct manifest manifest;

	/* Accept what the input itself says, so that the rest is reached. */
	if (size >= 48) {
		memcpy(expected.volume.bytes, data + 16, UUID_SIZE);
		memcpy(expected.snapshot.bytes, data + 32, UUID_SIZE);
	}
	if (manifest_open(&source, &expected, &manifest, NULL) < 0)
		return 0;
	for (uint64_t i = 0; i < RECORDS_MAX; i++) {
		read_all_of_object(&manifest, i);
		read_all_of_directory(&manifest, i);
	}
	return 0;
}
