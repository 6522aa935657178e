/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the manifest of a snapshot that is being sealed: its parts, then all of it in one go. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/file_internal.h"
#include "fs/store/sealing.h"
#include "kms/crypto/random.h"

static int control_place(const struct sealing *sealing, const char *directory,
			 struct place *ret_place)
{
	*ret_place = (struct place){
		.store = sealing->store,
		.snapshot = sealing->snapshot,
		.path = strcmp(directory, "tmp") == 0 ? CONTROL_DIRECTORY "/tmp"
						      : CONTROL_DIRECTORY "/manifests",
	};
	ret_place->fd = open_beneath(sealing->store->control_fd, directory, O_RDONLY | O_DIRECTORY,
				     0);
	return ret_place->fd < 0 ? ret_place->fd : 0;
}

/* A new file of ours in tmp/; NAME is drawn. */
static int make_temporary(const struct sealing *sealing, char name[static UUID_TEXT_SIZE],
			  struct file **ret_file)
{
	struct place place;
	struct uuid id;
	int r = random_uuid(&id);

	if (r == 0)
		r = control_place(sealing, "tmp", &place);
	if (r < 0)
		return r;
	uuid_format(&id, name);
	r = file_create_control(&place, name, sealing->dek, ret_file);
	close(place.fd);
	return r;
}

static void remove_temporary(const struct sealing *sealing, const char *name)
{
	struct place place;

	if (*name && control_place(sealing, "tmp", &place) == 0) {
		(void)unlinkat(place.fd, name, 0);
		close(place.fd);
	}
}

int sealing_open_spools(struct sealing *sealing, char heap_name[static UUID_TEXT_SIZE])
{
	struct spool *const plain[] = { &sealing->directories, &sealing->entries, &sealing->objects,
					&sealing->tags, &sealing->queue };
	const char *directory = trust_state_dir(sealing->store->trust);
	struct file *heap = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(plain); i++)
		r = spool_open(plain[i], directory);
	if (r == 0)
		r = make_temporary(sealing, heap_name, &heap);
	return r < 0 ? r : spool_open_file(&sealing->heap, heap);
}

void sealing_close_spools(struct sealing *sealing, const char *heap_name)
{
	spool_close(&sealing->directories);
	spool_close(&sealing->entries);
	spool_close(&sealing->objects);
	spool_close(&sealing->heap);
	spool_close(&sealing->tags);
	spool_close(&sealing->queue);
	remove_temporary(sealing, heap_name);
}

static uint64_t align(uint64_t size)
{
	return (size + MANIFEST_ALIGNMENT - 1) / MANIFEST_ALIGNMENT * MANIFEST_ALIGNMENT;
}

static void make_header(const struct sealing *sealing, struct manifest_header *header)
{
	const uint64_t sizes[MANIFEST_SECTION_COUNT] = {
		[MANIFEST_DEKS] = sealing->dek_count * UUID_SIZE,
		[MANIFEST_DIRECTORIES] = sealing->directories.size,
		[MANIFEST_ENTRIES] = sealing->entries.size,
		[MANIFEST_OBJECTS] = sealing->objects.size,
		[MANIFEST_HEAP] = sealing->heap.size,
		[MANIFEST_TAGS] = sealing->tags.size,
	};
	uint64_t offset = MANIFEST_HEADER_SIZE;

	*header = (struct manifest_header){
		.volume = sealing->store->volume.volume,
		.snapshot = sealing->snapshot->id,
	};
	for (unsigned i = 0; i < MANIFEST_SECTION_COUNT; i++) {
		header->sections[i].offset = offset;
		header->sections[i].count = sizes[i] / manifest_record_size(i);
		offset = align(offset + sizes[i]);
	}
}

static int pad(struct spool *out)
{
	static const uint8_t zeros[MANIFEST_ALIGNMENT];

	return spool_append(out, zeros, (size_t)(align(out->size) - out->size));
}

static int write_sections(struct sealing *sealing, struct spool *out)
{
	struct spool *const sections[] = { &sealing->directories, &sealing->entries,
					   &sealing->objects, &sealing->heap, &sealing->tags };
	struct manifest_header header;
	uint8_t data[MANIFEST_HEADER_SIZE];
	int r;

	make_header(sealing, &header);
	manifest_header_encode(&header, data);
	r = spool_append(out, data, sizeof(data));
	for (size_t i = 0; r == 0 && i < sealing->dek_count; i++)
		r = spool_append(out, sealing->deks[i].bytes, UUID_SIZE);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(sections); i++) {
		r = pad(out);
		if (r == 0)
			r = spool_copy(sections[i], out);
	}
	return r < 0 ? r : spool_flush(out);
}

static int name_manifest(const struct sealing *sealing, const char *temporary)
{
	char target[CONTROL_NAME_SIZE];
	char source[CONTROL_NAME_SIZE];
	char id[UUID_TEXT_SIZE];
	int fd;
	int r = control_make_directory(sealing->store->control_fd, "manifests");

	if (r < 0)
		return r;
	uuid_format(&sealing->snapshot->id, id);
	snprintf(target, sizeof(target), "manifests/%s", id);
	snprintf(source, sizeof(source), "tmp/%s", temporary);
	if (renameat(sealing->store->control_fd, source, sealing->store->control_fd, target) < 0)
		return -errno;
	fd = open_beneath(sealing->store->control_fd, "manifests", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int sealing_write_manifest(struct sealing *sealing, struct seal_manifest *ret_manifest)
{
	CLEANUP(hash_cleanup) struct hash *hash = NULL;
	char name[UUID_TEXT_SIZE] = "";
	struct spool out = { .fd = -1 };
	struct file *file = NULL;
	int r = hash_new(&hash);

	if (r == 0)
		r = make_temporary(sealing, name, &file);
	if (r == 0)
		r = spool_open_file(&out, file);
	if (r == 0) {
		out.hash = hash;
		r = write_sections(sealing, &out);
	}
	if (r == 0)
		r = file_sync(out.file, false);
	if (r == 0) {
		memcpy(ret_manifest->object_id, out.file->header.object_id,
		       sizeof(ret_manifest->object_id));
		memcpy(ret_manifest->content_id, out.file->header.content_id,
		       sizeof(ret_manifest->content_id));
		ret_manifest->size = out.size;
		r = hash_final(hash, ret_manifest->sha256);
	}
	spool_close(&out);
	if (r == 0)
		r = name_manifest(sealing, name);
	if (r < 0)
		remove_temporary(sealing, name);
	return r;
}
