/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a snapshot that is being sealed, breadth first, as a manifest has its directories.  Only one directory's names are
 * in memory at a time; what is still to be read waits in a file.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/entry.h"
#include "fs/store/sealing.h"

#define PROGRESS_FILES 1024
#define LINK_COUNT_AT  144 /* of an object: meta/FORMAT.md, section 11 */

struct found {
	char *name; /* plain, NUL, backing */
	const char *backing;
};
struct found_list {
	struct found *entries;
	size_t count;
	size_t capacity;
};

static void free_list(struct found_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->entries[i].name);
	free(list->entries);
}

static int add_found(struct found_list *list, const struct entry *entry)
{
	const size_t name_size = strlen(entry->name) + 1;
	const size_t backing_size = strlen(entry->backing) + 1;
	char *text;

	if (list->count == list->capacity) {
		const size_t capacity = list->capacity ? list->capacity * 2 : 64;
		struct found *more = reallocarray(list->entries, capacity, sizeof(*more));

		if (!more)
			return -ENOMEM;
		list->entries = more;
		list->capacity = capacity;
	}
	text = malloc(name_size + backing_size);
	if (!text)
		return -ENOMEM;
	memcpy(text, entry->name, name_size);
	memcpy(text + name_size, entry->backing, backing_size);
	list->entries[list->count++] = (struct found){ text, text + name_size };
	return 0;
}

static int compare_found(const void *a, const void *b)
{
	return strcmp(((const struct found *)a)->name, ((const struct found *)b)->name);
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* All names of a directory, sorted.  One that does not decrypt would be lost without a word: then nothing is sealed. */
static int list_directory(struct sealing *sealing, const struct place *place,
			  struct found_list *ret_list)
{
	struct entry_list *list = NULL;
	struct entry entry;
	int r = entry_list_open(place, &list);

	if (r < 0)
		return sealing_fail(sealing, place, "", r, "directory");
	while ((r = entry_list_next(list, &entry)) > 0) {
		if (is_dot(entry.name))
			continue;
		r = add_found(ret_list, &entry);
		if (r < 0)
			break;
	}
	if (r < 0)
		r = sealing_fail(sealing, place, "", r, "directory");
	else if (entry_list_hidden(list) > 0)
		r = sealing_fail(sealing, place, "", -EBADMSG, "a name in it");
	entry_list_close(list);
	if (r == 0 && ret_list->count > 1)
		qsort(ret_list->entries, ret_list->count, sizeof(*ret_list->entries),
		      compare_found);
	return r;
}

/* ---- Objects ------------------------------------------------------------------------------------------------------- */

static uint64_t object_count(const struct sealing *sealing)
{
	return sealing->objects.size / MANIFEST_OBJECT_SIZE;
}

static int append_object(struct sealing *sealing, const struct manifest_object *object)
{
	uint8_t data[MANIFEST_OBJECT_SIZE];

	manifest_object_encode(object, data);
	return spool_append(&sealing->objects, data, sizeof(data));
}

/* A further name of an inode: 1 and its object. */
static int find_link(struct sealing *sealing, const struct stat *stat, uint64_t *ret_object)
{
	struct sealing_link *link = NULL;
	const uint64_t inode = stat->st_ino;
	uint8_t data[4];
	struct writer writer;
	int r;

	if (S_ISDIR(stat->st_mode) || stat->st_nlink < 2)
		return 0;
	HASH_FIND(hh, sealing->links, &inode, sizeof(inode), link);
	if (!link)
		return 0;
	writer_init(&writer, data, sizeof(data));
	write_le32(&writer, ++link->count);
	r = spool_patch(&sealing->objects, link->object * MANIFEST_OBJECT_SIZE + LINK_COUNT_AT,
			data, sizeof(data));
	*ret_object = link->object;
	return r < 0 ? r : 1;
}

static int remember_link(struct sealing *sealing, const struct stat *stat, uint64_t object)
{
	struct sealing_link *link;

	if (S_ISDIR(stat->st_mode) || stat->st_nlink < 2)
		return 0;
	link = calloc(1, sizeof(*link));
	if (!link)
		return -ENOMEM;
	*link = (struct sealing_link){ .inode = stat->st_ino, .object = object, .count = 1 };
	HASH_ADD(hh, sealing->links, inode, sizeof(link->inode), link);
	return 0;
}

static void count_object(struct sealing *sealing, const struct manifest_object *object)
{
	struct seal_counts *counts = &sealing->counts;

	if (S_ISREG(object->mode)) {
		counts->files++;
		counts->bytes += object->size;
		counts->blocks += object->tag_count;
	} else if (S_ISDIR(object->mode)) {
		counts->directories++;
	} else if (S_ISLNK(object->mode)) {
		counts->symlinks++;
	} else {
		counts->special++;
	}
	if (sealing->options->progress && counts->files % PROGRESS_FILES == 0 &&
	    S_ISREG(object->mode))
		sealing->options->progress(sealing->options->arg, sealing->snapshot, counts->files,
					   counts->bytes);
}

/* Put a directory at the end of the queue; its place there is its number. */
static int enqueue(struct sealing *sealing, uint64_t object, const char *above, const char *name)
{
	const size_t above_size = strlen(above);
	const size_t size = above_size + (above_size > 0) + strlen(name);
	uint8_t head[12];
	struct writer writer;
	int r;

	if (size > UINT32_MAX)
		return -ENAMETOOLONG;
	writer_init(&writer, head, sizeof(head));
	write_le64(&writer, object);
	write_le32(&writer, (uint32_t)size);
	r = spool_append(&sealing->queue, head, sizeof(head));
	if (r == 0)
		r = spool_append(&sealing->queue, above, above_size);
	if (r == 0 && above_size > 0)
		r = spool_append(&sealing->queue, "/", 1);
	if (r == 0)
		r = spool_append(&sealing->queue, name, strlen(name));
	sealing->queued++;
	return r;
}

static int add_new_object(struct sealing *sealing, const struct place *parent, const char *backing,
			  const struct stat *stat, uint64_t *ret_object)
{
	struct manifest_object object;
	int r = sealing_object(sealing, parent, backing, stat, &object);

	if (r < 0)
		return r;
	object.link_count = 1;
	*ret_object = object_count(sealing);
	if (S_ISDIR(stat->st_mode))
		object.directory = sealing->queued;
	r = append_object(sealing, &object);
	if (r == 0)
		r = remember_link(sealing, stat, *ret_object);
	count_object(sealing, &object);
	return r;
}

static int append_entry(struct sealing *sealing, const char *name, mode_t type, uint64_t object)
{
	const struct manifest_entry entry = {
		.name_offset = sealing->heap.size,
		.name_size = (uint32_t)strlen(name),
		.type = type & S_IFMT,
		.object = object,
	};
	uint8_t data[MANIFEST_ENTRY_SIZE];
	int r = spool_append(&sealing->heap, name, entry.name_size);

	manifest_entry_encode(&entry, data);
	return r < 0 ? r : spool_append(&sealing->entries, data, sizeof(data));
}

static int add_entry(struct sealing *sealing, const struct place *place, const char *path,
		     const struct found *found)
{
	struct stat stat;
	uint64_t object = 0;
	int r;

	if (fstatat(place->fd, found->backing, &stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return sealing_fail(sealing, place, found->backing, -errno, "attributes");
	r = find_link(sealing, &stat, &object);
	if (r == 0)
		r = add_new_object(sealing, place, found->backing, &stat, &object);
	else if (r == 1)
		r = 0;
	if (r == 0)
		r = append_entry(sealing, found->name, stat.st_mode, object);
	if (r == 0 && S_ISDIR(stat.st_mode))
		r = enqueue(sealing, object, path, found->backing);
	return r;
}

/* ---- Directories --------------------------------------------------------------------------------------------------- */

/* Below the snapshot's directory, in pieces that one call can take. */
static int open_deep(int fd, const char *path)
{
	int at = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (at < 0)
		return -errno;
	while (*path) {
		char piece[PATH_MAX];
		size_t size = strlen(path);
		int next;

		if (size >= sizeof(piece)) {
			size = sizeof(piece) - 1;
			while (size > 0 && path[size] != '/')
				size--;
		}
		memcpy(piece, path, size);
		piece[size] = '\0';
		next = open_beneath(at, piece, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		close(at);
		if (next < 0)
			return next;
		at = next;
		path += size + (path[size] == '/');
	}
	return at;
}

static int read_directory(struct sealing *sealing, uint64_t object, const char *path)
{
	struct found_list list = { 0 };
	struct manifest_directory directory = {
		.object = object,
		.first_entry = sealing->entries.size / MANIFEST_ENTRY_SIZE,
	};
	struct place place = {
		.store = sealing->store,
		.snapshot = sealing->snapshot,
		.depth = sealing->store->volume.snapshot_depth,
	};
	uint8_t data[MANIFEST_DIRECTORY_SIZE];
	char *full = NULL;
	int r;

	if (asprintf(&full, "%s%s%s", snapshot_name(sealing->snapshot), *path ? "/" : "", path) < 0)
		return -ENOMEM;
	place.path = full;
	place.fd = open_deep(sealing->snapshot_fd, path);
	r = place.fd < 0 ? sealing_fail(sealing, &place, "", place.fd, "directory")
			 : list_directory(sealing, &place, &list);
	for (size_t i = 0; r == 0 && i < list.count; i++)
		r = add_entry(sealing, &place, path, &list.entries[i]);
	if (place.fd >= 0)
		close(place.fd);
	directory.entry_count = list.count;
	free_list(&list);
	free(full);
	if (r < 0)
		return r;
	manifest_directory_encode(&directory, data);
	return spool_append(&sealing->directories, data, sizeof(data));
}

/* The next of the queue, from OFFSET on. */
static int next_directory(struct sealing *sealing, uint64_t *offset)
{
	uint8_t head[12];
	struct reader reader;
	uint64_t object;
	uint32_t size;
	char *path;
	int r = spool_read(&sealing->queue, *offset, head, sizeof(head));

	if (r < 0)
		return r;
	reader_init(&reader, (struct bytes){ head, sizeof(head) });
	object = read_le64(&reader);
	size = read_le32(&reader);
	path = calloc(1, (size_t)size + 1);
	r = path ? spool_read(&sealing->queue, *offset + sizeof(head), path, size) : -ENOMEM;
	*offset += sizeof(head) + size;
	if (r == 0)
		r = read_directory(sealing, object, path);
	free(path);
	return r;
}

static int add_root(struct sealing *sealing)
{
	const struct place place = {
		.store = sealing->store,
		.snapshot = sealing->snapshot,
		.fd = sealing->snapshot_fd,
		.depth = sealing->store->volume.snapshot_depth,
		.path = snapshot_name(sealing->snapshot),
	};
	struct stat stat;
	uint64_t object = 0;
	int r;

	if (fstat(sealing->snapshot_fd, &stat) < 0)
		return -errno;
	r = add_new_object(sealing, &place, "", &stat, &object);
	return r < 0 ? r : enqueue(sealing, object, "", "");
}

int sealing_walk(struct sealing *sealing)
{
	uint64_t offset = 0;
	int r = add_root(sealing);

	while (r == 0 && offset < sealing->queue.size)
		r = next_directory(sealing, &offset);
	return r;
}
