/* SPDX-License-Identifier: Apache-2.0 */
/* Records of a manifest, encoded and decoded: meta/format/manifest.h.  Reading: manifest_read.c. */
#include "meta/format/manifest.h"

#include <assert.h>
#include <errno.h>

#include "meta/format/manifest_decode.h"

#define MANIFEST_VERSION     1
#define MANIFEST_FLAG_SPARSE 1u

static const char manifest_magic[8] = { 'S', 'N', 'P', 'M', 'A', 'N', 'I', 'F' };

size_t manifest_record_size(enum manifest_section_kind kind)
{
	static const size_t sizes[MANIFEST_SECTION_COUNT] = {
		[MANIFEST_DEKS] = UUID_SIZE,
		[MANIFEST_DIRECTORIES] = MANIFEST_DIRECTORY_SIZE,
		[MANIFEST_ENTRIES] = MANIFEST_ENTRY_SIZE,
		[MANIFEST_OBJECTS] = MANIFEST_OBJECT_SIZE,
		[MANIFEST_HEAP] = 1,
		[MANIFEST_TAGS] = MANIFEST_TAG_SIZE,
	};

	return sizes[kind];
}

void manifest_header_encode(const struct manifest_header *header,
			    uint8_t data[static MANIFEST_HEADER_SIZE])
{
	struct writer writer;

	writer_init(&writer, data, MANIFEST_HEADER_SIZE);
	write_bytes(&writer, manifest_magic, sizeof(manifest_magic));
	write_le16(&writer, MANIFEST_VERSION);
	write_zeros(&writer, 6);
	write_bytes(&writer, header->volume.bytes, UUID_SIZE);
	write_bytes(&writer, header->snapshot.bytes, UUID_SIZE);
	for (size_t i = 0; i < MANIFEST_SECTION_COUNT; i++) {
		write_le64(&writer, header->sections[i].offset);
		write_le64(&writer, header->sections[i].count);
	}
	write_zeros(&writer, MANIFEST_HEADER_SIZE - writer.size);
}

int manifest_header_decode(const uint8_t data[static MANIFEST_HEADER_SIZE],
			   struct manifest_header *ret_header, const char **reterr_fault)
{
	struct reader reader;

	reader_init(&reader, (struct bytes){ data, MANIFEST_HEADER_SIZE });
	if (!bytes_equal(read_span(&reader, sizeof(manifest_magic)),
			 (struct bytes){ (const uint8_t *)manifest_magic, sizeof(manifest_magic) }))
		return format_fault(reterr_fault, -EBADMSG, "bad-magic");
	if (read_le16(&reader) != MANIFEST_VERSION)
		return format_fault(reterr_fault, -ENOTSUP, "bad-version");
	read_zeros(&reader, 6);
	read_bytes(&reader, ret_header->volume.bytes, UUID_SIZE);
	read_bytes(&reader, ret_header->snapshot.bytes, UUID_SIZE);
	for (size_t i = 0; i < MANIFEST_SECTION_COUNT; i++) {
		ret_header->sections[i].offset = read_le64(&reader);
		ret_header->sections[i].count = read_le64(&reader);
	}
	read_zeros(&reader, reader.left.size);
	if (!reader_finished(&reader))
		return format_fault(reterr_fault, -EBADMSG, "bad-padding");
	return 0;
}

void manifest_directory_encode(const struct manifest_directory *directory,
			       uint8_t data[static MANIFEST_DIRECTORY_SIZE])
{
	struct writer writer;

	writer_init(&writer, data, MANIFEST_DIRECTORY_SIZE);
	write_le64(&writer, directory->object);
	write_le64(&writer, directory->first_entry);
	write_le64(&writer, directory->entry_count);
}

void manifest_directory_decode(const uint8_t data[static MANIFEST_DIRECTORY_SIZE],
			       struct manifest_directory *ret_directory)
{
	struct reader reader;

	reader_init(&reader, (struct bytes){ data, MANIFEST_DIRECTORY_SIZE });
	ret_directory->object = read_le64(&reader);
	ret_directory->first_entry = read_le64(&reader);
	ret_directory->entry_count = read_le64(&reader);
}

void manifest_entry_encode(const struct manifest_entry *entry,
			   uint8_t data[static MANIFEST_ENTRY_SIZE])
{
	struct writer writer;

	writer_init(&writer, data, MANIFEST_ENTRY_SIZE);
	write_le64(&writer, entry->name_offset);
	write_le32(&writer, entry->name_size);
	write_le32(&writer, entry->type);
	write_le64(&writer, entry->object);
}

void manifest_entry_decode(const uint8_t data[static MANIFEST_ENTRY_SIZE],
			   struct manifest_entry *ret_entry)
{
	struct reader reader;

	reader_init(&reader, (struct bytes){ data, MANIFEST_ENTRY_SIZE });
	ret_entry->name_offset = read_le64(&reader);
	ret_entry->name_size = read_le32(&reader);
	ret_entry->type = read_le32(&reader);
	ret_entry->object = read_le64(&reader);
}

void manifest_object_encode(const struct manifest_object *object,
			    uint8_t data[static MANIFEST_OBJECT_SIZE])
{
	struct writer writer;

	writer_init(&writer, data, MANIFEST_OBJECT_SIZE);
	write_le32(&writer, object->mode);
	write_le32(&writer, object->uid);
	write_le32(&writer, object->gid);
	write_le32(&writer, object->dek);
	write_le32(&writer, object->device_major);
	write_le32(&writer, object->device_minor);
	write_le64(&writer, (uint64_t)object->mtime_s);
	write_le32(&writer, object->mtime_ns);
	write_le32(&writer, object->is_sparse ? MANIFEST_FLAG_SPARSE : 0);
	write_le64(&writer, object->size);
	write_bytes(&writer, object->object_id, sizeof(object->object_id));
	write_bytes(&writer, object->content_id, sizeof(object->content_id));
	write_le64(&writer, object->directory);
	write_le64(&writer, object->target_offset);
	write_le32(&writer, object->target_size);
	write_le32(&writer, object->attribute_count);
	write_le64(&writer, object->attributes_offset);
	write_le64(&writer, object->attributes_size);
	write_le64(&writer, object->first_tag);
	write_le64(&writer, object->tag_count);
	write_le32(&writer, object->link_count);
	write_zeros(&writer, MANIFEST_OBJECT_SIZE - writer.size);
}

int manifest_object_decode(const uint8_t data[static MANIFEST_OBJECT_SIZE],
			   struct manifest_object *ret_object, const char **reterr_fault)
{
	struct reader reader;

	reader_init(&reader, (struct bytes){ data, MANIFEST_OBJECT_SIZE });
	ret_object->mode = read_le32(&reader);
	ret_object->uid = read_le32(&reader);
	ret_object->gid = read_le32(&reader);
	ret_object->dek = read_le32(&reader);
	ret_object->device_major = read_le32(&reader);
	ret_object->device_minor = read_le32(&reader);
	ret_object->mtime_s = (int64_t)read_le64(&reader);
	ret_object->mtime_ns = read_le32(&reader);

	const uint32_t flags = read_le32(&reader);

	ret_object->is_sparse = flags & MANIFEST_FLAG_SPARSE;
	ret_object->size = read_le64(&reader);
	read_bytes(&reader, ret_object->object_id, sizeof(ret_object->object_id));
	read_bytes(&reader, ret_object->content_id, sizeof(ret_object->content_id));
	ret_object->directory = read_le64(&reader);
	ret_object->target_offset = read_le64(&reader);
	ret_object->target_size = read_le32(&reader);
	ret_object->attribute_count = read_le32(&reader);
	ret_object->attributes_offset = read_le64(&reader);
	ret_object->attributes_size = read_le64(&reader);
	ret_object->first_tag = read_le64(&reader);
	ret_object->tag_count = read_le64(&reader);
	ret_object->link_count = read_le32(&reader);
	read_zeros(&reader, reader.left.size);
	if (!reader_finished(&reader))
		return format_fault(reterr_fault, -EBADMSG, "bad-padding");
	if (flags & ~MANIFEST_FLAG_SPARSE)
		return format_fault(reterr_fault, -ENOTSUP, "bad-flags");
	return 0;
}

size_t manifest_attribute_size(const struct manifest_attribute *attribute)
{
	return 8 + attribute->name.size + attribute->value.size;
}

void manifest_attribute_encode(const struct manifest_attribute *attribute, uint8_t *data)
{
	struct writer writer;

	assert(attribute->name.size <= MANIFEST_NAME_MAX && attribute->value.size <= UINT32_MAX);
	writer_init(&writer, data, manifest_attribute_size(attribute));
	write_le16(&writer, (uint16_t)attribute->name.size);
	write_le16(&writer, 0);
	write_le32(&writer, (uint32_t)attribute->value.size);
	write_span(&writer, attribute->name);
	write_span(&writer, attribute->value);
}

int manifest_next_attribute(struct bytes *left, struct manifest_attribute *ret_attribute)
{
	if (left->size == 0)
		return 0;

	struct reader reader;
	struct manifest_attribute attribute = { 0 };

	reader_init(&reader, *left);

	const size_t name_size = read_le16(&reader);

	read_zeros(&reader, 2);

	const size_t value_size = read_le32(&reader);

	attribute.name = read_span(&reader, name_size);
	attribute.value = read_span(&reader, value_size);
	if (!reader_ok(&reader) || name_size == 0 || name_size > MANIFEST_NAME_MAX)
		return -EBADMSG;
	*left = reader.left;
	*ret_attribute = attribute;
	return 1;
}
