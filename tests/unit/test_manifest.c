/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the manifest vectors: reads everything that a manifest holds, and looks up every name. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "meta/format/manifest.h"
#include "tests/unit/vector.h"

static int read_vector(void *arg, uint64_t offset, void *data, size_t size)
{
	const struct vector *vector = arg;

	/* Every number is checked before it is used: no read leaves the file. */
	assert_true(offset <= vector->size && size <= vector->size - offset);
	memcpy(data, vector->data + offset, size);
	return 0;
}

static const char *check_attributes(const struct manifest *manifest,
				    const struct manifest_object *object)
{
	uint8_t *data = malloc((size_t)object->attributes_size + 1);
	struct bytes left = { data, (size_t)object->attributes_size };
	struct manifest_attribute attribute, previous = { 0 };
	const char *fault = NULL;
	uint32_t count = 0;
	int r;

	assert_non_null(data);
	assert_int_equal(manifest_read_attributes(manifest, object, data), 0);
	while ((r = manifest_next_attribute(&left, &attribute)) == 1) {
		const size_t size = attribute.name.size < previous.name.size ? attribute.name.size
									     : previous.name.size;
		const int order = count == 0
					  ? 1
					  : memcmp(attribute.name.data, previous.name.data, size);

		if (order < 0 || (order == 0 && attribute.name.size <= previous.name.size))
			fault = "bad-order";
		previous = attribute;
		count++;
	}
	if (r < 0 || (!fault && count != object->attribute_count))
		fault = "bad-length";
	free(data);
	return fault;
}

static const char *check_object(const struct manifest *manifest, uint64_t index,
				struct manifest_object *object)
{
	char target[MANIFEST_TARGET_MAX + 1];
	const char *fault = "none";
	struct uuid dek;

	if (manifest_read_object(manifest, index, object, &fault) < 0)
		return fault;
	if (object->dek != MANIFEST_NO_DEK)
		assert_int_equal(manifest_read_dek(manifest, object->dek, &dek), 0);
	if (S_ISLNK(object->mode) && manifest_read_target(manifest, object, target) < 0)
		return "bad-name";
	for (uint64_t i = 0; i < object->tag_count; i++) {
		const struct manifest_tag_range range = { i, 1 };
		uint8_t tag[MANIFEST_TAG_SIZE];

		assert_int_equal(manifest_read_tags(manifest, object, &range, tag), 0);
	}

	const struct manifest_tag_range beyond = { object->tag_count, 1 };
	uint8_t tag[MANIFEST_TAG_SIZE];

	assert_int_equal(manifest_read_tags(manifest, object, &beyond, tag), -EBADMSG);
	return check_attributes(manifest, object);
}

static const char *check_entry(const struct manifest *manifest, uint64_t index, char *name)
{
	char found[MANIFEST_NAME_MAX + 1];
	struct manifest_entry entry;
	struct manifest_object object;
	const char *fault = "none";

	if (manifest_read_entry(manifest, index, &entry, &fault) < 0)
		return fault;
	if (manifest_read_name(manifest, &entry, found) < 0)
		return "bad-name";
	if (strcmp(found, name) <= 0)
		return "bad-order";
	strcpy(name, found);
	fault = check_object(manifest, entry.object, &object);
	if (fault)
		return fault;
	return (object.mode & S_IFMT) == entry.type ? NULL : "bad-type";
}

static void look_up_all(const struct manifest *manifest, const struct manifest_directory *directory)
{
	for (uint64_t i = 0; i < directory->entry_count; i++) {
		const uint64_t index = directory->first_entry + i;
		struct manifest_entry entry, found;
		char name[MANIFEST_NAME_MAX + 1];

		assert_int_equal(manifest_read_entry(manifest, index, &entry, NULL), 0);
		assert_int_equal(manifest_read_name(manifest, &entry, name), 0);
		assert_int_equal(manifest_lookup(manifest, directory, name, &found), 0);
		assert_memory_equal(&entry, &found, sizeof(entry));
	}
}

static const char *check_directory(const struct manifest *manifest, uint64_t index)
{
	struct manifest_directory directory;
	struct manifest_object object;
	const char *fault = "none";
	char name[MANIFEST_NAME_MAX + 1] = "";

	if (manifest_read_directory(manifest, index, &directory, &fault) < 0)
		return fault;
	fault = check_object(manifest, directory.object, &object);
	for (uint64_t i = 0; !fault && i < directory.entry_count; i++)
		fault = check_entry(manifest, directory.first_entry + i, name);
	if (!fault)
		look_up_all(manifest, &directory);
	return fault;
}

static const char *run(const struct vector *vector)
{
	const struct manifest_expectation expected = { vector_uuid(vector, "volume"),
						       vector_uuid(vector, "snapshot") };
	struct vector copy = *vector;
	const struct manifest_source source = { read_vector, &copy, vector->size };
	struct manifest manifest;
	struct manifest_directory root;
	struct manifest_entry entry;
	const char *fault = "none";
	const int r = manifest_open(&source, &expected, &manifest, &fault);

	if (r < 0) {
		assert_true(r == -EBADMSG || r == -ENOTSUP);
		return fault;
	}
	for (uint64_t i = 0; i < manifest.header.sections[MANIFEST_DIRECTORIES].count; i++) {
		fault = check_directory(&manifest, i);
		if (fault)
			return fault;
	}
	assert_int_equal(manifest_read_directory(&manifest, 0, &root, NULL), 0);
	assert_int_equal(manifest_lookup(&manifest, &root, "", &entry), -ENOENT);
	assert_int_equal(manifest_lookup(&manifest, &root, "aa", &entry), -ENOENT);
	assert_int_equal(manifest_lookup(&manifest, &root, "zzz", &entry), -ENOENT);
	return "ok";
}

static void manifests_are_read_or_name_their_fault(void **state)
{
	vectors_run("format", "manifest", run);
}

/* Encoded records are read back as they were. */
static void manifest_object_survives_encoding(void **state)
{
	const struct manifest_object object = {
		.mode = S_IFREG | 04755,
		.uid = 1,
		.gid = 2,
		.dek = 0,
		.mtime_s = -5,
		.mtime_ns = 999999999,
		.is_sparse = true,
		.size = 77,
		.link_count = 3,
	};
	struct manifest_header header = {
		.sections = { { 256, 1 },
			      { 272, 1 },
			      { 296, 0 },
			      { 296, 1 },
			      { 456, 0 },
			      { 456, 0 } },
	};
	struct vector file = { .size = 456, .data = calloc(1, 456) };
	const struct manifest_source source = { read_vector, &file, file.size };
	const struct manifest_expectation expected = { 0 };
	struct manifest manifest;
	struct manifest_object found;

	assert_non_null(file.data);
	manifest_header_encode(&header, file.data);
	manifest_object_encode(&object, file.data + 296);
	assert_int_equal(manifest_open(&source, &expected, &manifest, NULL), 0);
	assert_int_equal(manifest_read_object(&manifest, 0, &found, NULL), 0);
	assert_int_equal(found.mode, object.mode);
	assert_int_equal(found.mtime_s, object.mtime_s);
	assert_int_equal(found.mtime_ns, object.mtime_ns);
	assert_true(found.is_sparse);
	assert_int_equal(found.size, object.size);
	assert_int_equal(found.link_count, object.link_count);
	assert_int_equal(manifest_read_object(&manifest, 1, &found, NULL), -EBADMSG);
	free(file.data);
}

static void manifest_attributes_survive_encoding(void **state)
{
	const struct manifest_attribute attributes[] = {
		{ bytes_from_text("user.a"), bytes_from_text("") },
		{ bytes_from_text("user.b"), bytes_from_text("value") },
	};
	uint8_t data[64];
	size_t size = 0;

	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
		manifest_attribute_encode(&attributes[i], data + size);
		size += manifest_attribute_size(&attributes[i]);
	}

	struct bytes left = { data, size };

	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
		struct manifest_attribute found;

		assert_int_equal(manifest_next_attribute(&left, &found), 1);
		assert_true(bytes_equal(found.name, attributes[i].name));
		assert_true(bytes_equal(found.value, attributes[i].value));
	}
	assert_int_equal(left.size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(manifests_are_read_or_name_their_fault),
		cmocka_unit_test(manifest_object_survives_encoding),
		cmocka_unit_test(manifest_attributes_survive_encoding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
