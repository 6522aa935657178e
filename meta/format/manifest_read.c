/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a manifest at random, every number checked before it is used: meta/format/manifest.h. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "meta/format/manifest_decode.h"

/* Is FIRST to FIRST + COUNT - 1 inside of TOTAL? */
static bool is_within(uint64_t first, uint64_t count, uint64_t total)
{
	return first <= total && count <= total - first;
}

/* Sections follow each other, aligned, inside of the file. */
static int check_sections(const struct manifest_header *header, uint64_t size,
			  const char **reterr_fault)
{
	uint64_t end = MANIFEST_HEADER_SIZE;

	for (unsigned i = 0; i < MANIFEST_SECTION_COUNT; i++) {
		const struct manifest_section *section = &header->sections[i];
		uint64_t section_size;

		if (section->offset % MANIFEST_ALIGNMENT != 0)
			return format_fault(reterr_fault, -EBADMSG, "bad-offset");
		if (section->offset < end)
			return format_fault(reterr_fault, -EBADMSG, "bad-order");
		if (__builtin_mul_overflow(section->count, manifest_record_size(i),
					   &section_size) ||
		    !is_within(section->offset, section_size, size))
			return format_fault(reterr_fault, -EBADMSG, "bad-length");
		end = section->offset + section_size;
	}
	if (header->sections[MANIFEST_DEKS].count == 0 ||
	    header->sections[MANIFEST_DIRECTORIES].count == 0)
		return format_fault(reterr_fault, -EBADMSG, "bad-index");
	return 0;
}

int manifest_open(const struct manifest_source *source, const struct manifest_expectation *expected,
		  struct manifest *ret_manifest, const char **reterr_fault)
{
	uint8_t data[MANIFEST_HEADER_SIZE];
	struct manifest manifest = { .source = *source };
	int r;

	if (source->size < MANIFEST_HEADER_SIZE)
		return format_fault(reterr_fault, -EBADMSG, "short");
	r = source->read(source->arg, 0, data, sizeof(data));
	if (r < 0)
		return format_fault(reterr_fault, r, "unreadable");
	r = manifest_header_decode(data, &manifest.header, reterr_fault);
	if (r < 0)
		return r;
	if (!uuid_equal(&manifest.header.volume, &expected->volume))
		return format_fault(reterr_fault, -EBADMSG, "wrong-volume");
	if (!uuid_equal(&manifest.header.snapshot, &expected->snapshot))
		return format_fault(reterr_fault, -EBADMSG, "wrong-snapshot");
	r = check_sections(&manifest.header, source->size, reterr_fault);
	if (r < 0)
		return r;
	*ret_manifest = manifest;
	return 0;
}

static uint64_t section_count(const struct manifest *manifest, enum manifest_section_kind kind)
{
	return manifest->header.sections[kind].count;
}

/* Fill INTO with records of a section, beginning with INDEX. */
static int read_section(const struct manifest *manifest, enum manifest_section_kind kind,
			uint64_t index, struct writer *into)
{
	const struct manifest_section *section = &manifest->header.sections[kind];
	const size_t record_size = manifest_record_size(kind);

	if (!is_within(index, into->capacity / record_size, section->count))
		return -EBADMSG;
	return manifest->source.read(manifest->source.arg, section->offset + index * record_size,
				     into->data, into->capacity);
}

static int read_record(const struct manifest *manifest, enum manifest_section_kind kind,
		       uint64_t index, uint8_t *data)
{
	struct writer into;

	writer_init(&into, data, manifest_record_size(kind));
	return read_section(manifest, kind, index, &into);
}

int manifest_read_dek(const struct manifest *manifest, uint64_t index, struct uuid *ret_dek)
{
	return read_record(manifest, MANIFEST_DEKS, index, ret_dek->bytes);
}

int manifest_read_directory(const struct manifest *manifest, uint64_t index,
			    struct manifest_directory *ret_directory, const char **reterr_fault)
{
	uint8_t data[MANIFEST_DIRECTORY_SIZE];
	struct manifest_directory directory;
	const int r = read_record(manifest, MANIFEST_DIRECTORIES, index, data);

	if (r < 0)
		return format_fault(reterr_fault, r, "bad-index");
	manifest_directory_decode(data, &directory);
	if (directory.object >= section_count(manifest, MANIFEST_OBJECTS) ||
	    !is_within(directory.first_entry, directory.entry_count,
		       section_count(manifest, MANIFEST_ENTRIES)))
		return format_fault(reterr_fault, -EBADMSG, "bad-index");
	*ret_directory = directory;
	return 0;
}

static bool is_file_type(uint32_t type)
{
	return S_ISREG(type) || S_ISDIR(type) || S_ISLNK(type) || S_ISCHR(type) || S_ISBLK(type) ||
	       S_ISFIFO(type) || S_ISSOCK(type);
}

int manifest_read_entry(const struct manifest *manifest, uint64_t index,
			struct manifest_entry *ret_entry, const char **reterr_fault)
{
	uint8_t data[MANIFEST_ENTRY_SIZE];
	struct manifest_entry entry;
	const int r = read_record(manifest, MANIFEST_ENTRIES, index, data);

	if (r < 0)
		return format_fault(reterr_fault, r, "bad-index");
	manifest_entry_decode(data, &entry);
	if (entry.object >= section_count(manifest, MANIFEST_OBJECTS))
		return format_fault(reterr_fault, -EBADMSG, "bad-index");
	if ((entry.type & ~(uint32_t)S_IFMT) != 0 || !is_file_type(entry.type))
		return format_fault(reterr_fault, -EBADMSG, "bad-type");
	if (entry.name_size == 0 || entry.name_size > MANIFEST_NAME_MAX ||
	    !is_within(entry.name_offset, entry.name_size, section_count(manifest, MANIFEST_HEAP)))
		return format_fault(reterr_fault, -EBADMSG, "bad-name");
	*ret_entry = entry;
	return 0;
}

static int check_object(const struct manifest *manifest, const struct manifest_object *object,
			const char **reterr_fault)
{
	const uint64_t heap_size = section_count(manifest, MANIFEST_HEAP);

	if (object->mode > 0177777 || !is_file_type(object->mode))
		return format_fault(reterr_fault, -EBADMSG, "bad-type");
	if (object->dek != MANIFEST_NO_DEK && object->dek >= section_count(manifest, MANIFEST_DEKS))
		return format_fault(reterr_fault, -EBADMSG, "bad-index");
	if (S_ISDIR(object->mode) &&
	    object->directory >= section_count(manifest, MANIFEST_DIRECTORIES))
		return format_fault(reterr_fault, -EBADMSG, "bad-index");
	if (object->mtime_ns >= 1000000000 || object->size > INT64_MAX)
		return format_fault(reterr_fault, -EBADMSG, "bad-length");
	if (object->target_size > MANIFEST_TARGET_MAX ||
	    !is_within(object->target_offset, object->target_size, heap_size) ||
	    (S_ISLNK(object->mode) && object->target_size == 0))
		return format_fault(reterr_fault, -EBADMSG, "bad-length");
	if (object->attributes_size > MANIFEST_ATTRIBUTES_MAX ||
	    !is_within(object->attributes_offset, object->attributes_size, heap_size))
		return format_fault(reterr_fault, -EBADMSG, "bad-length");
	if (!is_within(object->first_tag, object->tag_count,
		       section_count(manifest, MANIFEST_TAGS)))
		return format_fault(reterr_fault, -EBADMSG, "bad-tag");
	return 0;
}

int manifest_read_object(const struct manifest *manifest, uint64_t index,
			 struct manifest_object *ret_object, const char **reterr_fault)
{
	uint8_t data[MANIFEST_OBJECT_SIZE];
	struct manifest_object object;
	int r = read_record(manifest, MANIFEST_OBJECTS, index, data);

	if (r < 0)
		return format_fault(reterr_fault, r, "bad-index");
	r = manifest_object_decode(data, &object, reterr_fault);
	if (r < 0)
		return r;
	r = check_object(manifest, &object, reterr_fault);
	if (r < 0)
		return r;
	*ret_object = object;
	return 0;
}

int manifest_read_name(const struct manifest *manifest, const struct manifest_entry *entry,
		       char name[static MANIFEST_NAME_MAX + 1])
{
	uint8_t text[MANIFEST_NAME_MAX];
	struct writer into;
	int r;

	if (entry->name_size == 0 || entry->name_size > MANIFEST_NAME_MAX)
		return -EBADMSG;
	writer_init(&into, text, entry->name_size);
	r = read_section(manifest, MANIFEST_HEAP, entry->name_offset, &into);
	if (r < 0)
		return r;
	if (memchr(text, '\0', entry->name_size) || memchr(text, '/', entry->name_size))
		return -EBADMSG;
	memcpy(name, text, entry->name_size);
	name[entry->name_size] = '\0';
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? -EBADMSG : 0;
}

int manifest_lookup(const struct manifest *manifest, const struct manifest_directory *directory,
		    const char *name, struct manifest_entry *ret_entry)
{
	uint64_t low = directory->first_entry;
	uint64_t high = directory->first_entry + directory->entry_count;

	while (low < high) {
		const uint64_t middle = low + (high - low) / 2;
		char found[MANIFEST_NAME_MAX + 1];
		struct manifest_entry entry;
		int r = manifest_read_entry(manifest, middle, &entry, NULL);

		if (r < 0)
			return r;
		r = manifest_read_name(manifest, &entry, found);
		if (r < 0)
			return r;

		const int order = strcmp(name, found);

		if (order == 0) {
			*ret_entry = entry;
			return 0;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return -ENOENT;
}

int manifest_read_target(const struct manifest *manifest, const struct manifest_object *object,
			 char target[static MANIFEST_TARGET_MAX + 1])
{
	struct writer into;
	int r;

	if (object->target_size == 0 || object->target_size > MANIFEST_TARGET_MAX)
		return -EBADMSG;
	writer_init(&into, (uint8_t *)target, object->target_size);
	r = read_section(manifest, MANIFEST_HEAP, object->target_offset, &into);
	if (r < 0)
		return r;
	target[object->target_size] = '\0';
	return strlen(target) == object->target_size ? 0 : -EBADMSG;
}

int manifest_read_tags(const struct manifest *manifest, const struct manifest_object *object,
		       const struct manifest_tag_range *range, uint8_t *tags)
{
	struct writer into;

	if (!is_within(range->first, range->count, object->tag_count))
		return -EBADMSG;
	/* Cannot overflow: the object's tags were checked to lie inside of their section. */
	writer_init(&into, tags, range->count * MANIFEST_TAG_SIZE);
	return read_section(manifest, MANIFEST_TAGS, object->first_tag + range->first, &into);
}

int manifest_read_attributes(const struct manifest *manifest, const struct manifest_object *object,
			     uint8_t *data)
{
	struct writer into;

	if (object->attributes_size > MANIFEST_ATTRIBUTES_MAX)
		return -EBADMSG;
	writer_init(&into, data, (size_t)object->attributes_size);
	return read_section(manifest, MANIFEST_HEAP, object->attributes_offset, &into);
}
