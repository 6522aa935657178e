/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest of a sealed snapshot: what was in it.  Format: meta/FORMAT.md, "Manifest".
 *
 * Written by encoding fixed records; read at random through a callback, so that a lookup in a
 * manifest of millions of entries touches some dozens of them.  Every number is checked against the
 * sections before it is used, although the file is authenticated: a writer's bug is not the
 * reader's.
 */
#ifndef SNAPCRYPT_META_FORMAT_MANIFEST_H
#define SNAPCRYPT_META_FORMAT_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/format/header.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define MANIFEST_HEADER_SIZE    256
#define MANIFEST_DIRECTORY_SIZE 24
#define MANIFEST_ENTRY_SIZE     24
#define MANIFEST_OBJECT_SIZE    160
#define MANIFEST_TAG_SIZE       16
#define MANIFEST_ALIGNMENT      8
#define MANIFEST_NAME_MAX       255
#define MANIFEST_TARGET_MAX     4095
#define MANIFEST_ATTRIBUTES_MAX ((uint64_t)64 << 20)
#define MANIFEST_NO_DEK         UINT32_MAX

enum manifest_section_kind {
	MANIFEST_DEKS,
	MANIFEST_DIRECTORIES,
	MANIFEST_ENTRIES,
	MANIFEST_OBJECTS,
	MANIFEST_HEAP,
	MANIFEST_TAGS,
	MANIFEST_SECTION_COUNT,
};

/* Count: of records; of bytes in the heap. */
struct manifest_section {
	uint64_t offset;
	uint64_t count;
};

struct manifest_header {
	struct uuid volume;
	struct uuid snapshot;
	struct manifest_section sections[MANIFEST_SECTION_COUNT];
};

struct manifest_directory {
	uint64_t object;
	uint64_t first_entry;
	uint64_t entry_count;
};

/* TYPE: the file type bits of a mode. */
struct manifest_entry {
	uint64_t name_offset;
	uint32_t name_size;
	uint32_t type;
	uint64_t object;
};

struct manifest_object {
	uint32_t mode;
	uint32_t uid;
	uint32_t gid;
	uint32_t dek; /* index, or MANIFEST_NO_DEK */
	uint32_t device_major;
	uint32_t device_minor;
	int64_t mtime_s;
	uint32_t mtime_ns;
	bool is_sparse;
	uint64_t size;
	uint8_t object_id[HEADER_OBJECT_ID_SIZE];
	uint8_t content_id[HEADER_CONTENT_ID_SIZE];
	uint64_t directory;
	uint64_t target_offset;
	uint32_t target_size;
	uint32_t attribute_count;
	uint64_t attributes_offset;
	uint64_t attributes_size;
	uint64_t first_tag;
	uint64_t tag_count;
	uint32_t link_count;
};

/* Bytes of one record of a section. */
size_t manifest_record_size(enum manifest_section_kind kind);

void manifest_header_encode(const struct manifest_header *header,
			    uint8_t data[static MANIFEST_HEADER_SIZE]);
void manifest_directory_encode(const struct manifest_directory *directory,
			       uint8_t data[static MANIFEST_DIRECTORY_SIZE]);
void manifest_entry_encode(const struct manifest_entry *entry,
			   uint8_t data[static MANIFEST_ENTRY_SIZE]);
void manifest_object_encode(const struct manifest_object *object,
			    uint8_t data[static MANIFEST_OBJECT_SIZE]);

/* One attribute as the heap holds it; names are at most MANIFEST_NAME_MAX bytes. */
struct manifest_attribute {
	struct bytes name;
	struct bytes value;
};
size_t manifest_attribute_size(const struct manifest_attribute *attribute);
void manifest_attribute_encode(const struct manifest_attribute *attribute, uint8_t *data);

/*
 * Read SIZE bytes at OFFSET of the plain manifest: all of them, or a negative errno.  May be called
 * from several threads at once, as everything below may.
 */
struct manifest_source {
	int (*read)(void *arg, uint64_t offset, void *data, size_t size);
	void *arg;
	uint64_t size;
};

/* An opened manifest: nothing to free. */
struct manifest {
	struct manifest_source source;
	struct manifest_header header;
};

/* Of which volume and snapshot a manifest must be. */
struct manifest_expectation {
	struct uuid volume;
	struct uuid snapshot;
};

/*
 * Read and check the header.  Faults as in meta/format/fault.h.
 *
 * -EBADMSG: malformed or another snapshot's.  -ENOTSUP: another version.
 */
MUST_CHECK int manifest_open(const struct manifest_source *source,
			     const struct manifest_expectation *expected,
			     struct manifest *ret_manifest, const char **reterr_fault);

/*
 * Records by index, checked: what they refer to exists.  -EBADMSG: malformed, or INDEX is beyond
 * its section; reterr_fault may be NULL.
 */
MUST_CHECK int manifest_read_dek(const struct manifest *manifest, uint64_t index,
				 struct uuid *ret_dek);
MUST_CHECK int manifest_read_directory(const struct manifest *manifest, uint64_t index,
				       struct manifest_directory *ret_directory,
				       const char **reterr_fault);
MUST_CHECK int manifest_read_entry(const struct manifest *manifest, uint64_t index,
				   struct manifest_entry *ret_entry, const char **reterr_fault);
MUST_CHECK int manifest_read_object(const struct manifest *manifest, uint64_t index,
				    struct manifest_object *ret_object, const char **reterr_fault);

/* The name of an entry, NUL-terminated.  -EBADMSG: a name that no directory can hold. */
MUST_CHECK int manifest_read_name(const struct manifest *manifest,
				  const struct manifest_entry *entry,
				  char name[static MANIFEST_NAME_MAX + 1]);

/* Find NAME by binary search.  0 and the entry, -ENOENT, or -EBADMSG. */
MUST_CHECK int manifest_lookup(const struct manifest *manifest,
			       const struct manifest_directory *directory, const char *name,
			       struct manifest_entry *ret_entry);

/* The target of a symlink, NUL-terminated. */
MUST_CHECK int manifest_read_target(const struct manifest *manifest,
				    const struct manifest_object *object,
				    char target[static MANIFEST_TARGET_MAX + 1]);

/* Tags of blocks FIRST to FIRST + COUNT - 1 of a file, MANIFEST_TAG_SIZE bytes each. */
struct manifest_tag_range {
	uint64_t first;
	size_t count;
};
MUST_CHECK int manifest_read_tags(const struct manifest *manifest,
				  const struct manifest_object *object,
				  const struct manifest_tag_range *range, uint8_t *tags);

/* All attributes of an object: attributes_size bytes, to be read with manifest_next_attribute(). */
MUST_CHECK int manifest_read_attributes(const struct manifest *manifest,
					const struct manifest_object *object, uint8_t *data);

/* 1 and the next attribute, taken off LEFT; 0 at the end; -EBADMSG. */
MUST_CHECK int manifest_next_attribute(struct bytes *left,
				       struct manifest_attribute *ret_attribute);

#endif
