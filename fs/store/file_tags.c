/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping the tags of a file while it is written: fs/store/tag_memory.h.
 *
 * Known are the tags of files that were made, or cut to nothing, since they were opened.  An older entry about a file that
 * is changed otherwise is withdrawn before the first byte changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/store/file_internal.h"
#include "fs/store/tag_memory.h"
#include "fs/store/tag_record.h"
#include "meta/encoding.h"

#define SMALL_MAX 1024 /* tags in memory; more go to a file */

/* FD: of a large file's tags, or -1. */
struct tag_list {
	uint8_t *tags;
	uint64_t count;
	uint64_t capacity;
	int fd;
};

static const struct tag_keeper *keeper;

void tags_set_keeper(const struct tag_keeper *new_keeper)
{
	keeper = new_keeper;
}

/* ---- The log ------------------------------------------------------------------------------------------------------- */

/* Negative: the tags of this file are not kept. */
static int log_of(const struct file *file)
{
	if (!keeper || !file->snapshot || !file->is_encrypted || file->is_control)
		return -ENOENT;
	return keeper->log(file->snapshot, &file->header.dek);
}

static void append(struct snapshot *snapshot, int fd, const struct tag_record *record,
		   const uint8_t *tags)
{
	const struct iovec parts[] = {
		{ (void *)(uintptr_t)record, sizeof(*record) },
		{ (void *)(uintptr_t)tags,
		  record->is_large ? 0 : (size_t)record->count * MANIFEST_TAG_SIZE },
	};
	const ssize_t size = (ssize_t)(parts[0].iov_len + parts[1].iov_len);

	/* A half entry would make all that follow unreadable, and a missing one could leave an older one standing. */
	if (fd >= 0 && writev(fd, parts, 2) != size)
		keeper->lose(snapshot);
}

static struct tag_record record_of(const struct header *header)
{
	struct tag_record record = { .magic = TAG_RECORD_MAGIC, .boot = *tag_boot() };

	memcpy(record.object_id, header->object_id, sizeof(record.object_id));
	memcpy(record.content_id, header->content_id, sizeof(record.content_id));
	return record;
}

/* ---- One file ------------------------------------------------------------------------------------------------------ */

static void list_free(struct tag_list *list)
{
	if (!list)
		return;
	if (list->fd >= 0)
		close(list->fd);
	free(list->tags);
	free(list);
}

void tags_forget(struct file *file)
{
	list_free(TAKE(file->tags));
}

static void large_name(const struct file *file, char name[static TAG_NAME_SIZE])
{
	hex_encode((struct bytes){ file->header.object_id, HEADER_OBJECT_ID_SIZE }, name);
}

/* So many that they go to a file of their own. */
static int grow_large(const struct file *file, struct tag_list *list)
{
	char name[TAG_NAME_SIZE];
	int r;

	large_name(file, name);
	list->fd = keeper->open(file->snapshot, name, O_RDWR | O_CREAT | O_TRUNC);
	if (list->fd < 0)
		return list->fd;
	r = write_all(list->fd, list->tags, (size_t)list->count * MANIFEST_TAG_SIZE, 0, NULL);
	free(TAKE(list->tags));
	return r;
}

static int reserve(const struct file *file, struct tag_list *list, uint64_t count)
{
	uint64_t capacity = list->capacity ? list->capacity : 4;
	uint8_t *more;

	if (list->fd >= 0 || count <= list->capacity)
		return 0;
	if (count > SMALL_MAX)
		return grow_large(file, list);
	while (capacity < count)
		capacity *= 2;
	more = realloc(list->tags, (size_t)capacity * MANIFEST_TAG_SIZE);
	if (!more)
		return -ENOMEM;
	list->tags = more;
	list->capacity = capacity;
	return 0;
}

static int put(struct tag_list *list, uint64_t index, const uint8_t *tags, uint64_t count)
{
	const size_t size = (size_t)count * MANIFEST_TAG_SIZE;

	if (list->fd >= 0)
		return write_all(list->fd, tags, size, index * MANIFEST_TAG_SIZE, NULL);
	memcpy(list->tags + index * MANIFEST_TAG_SIZE, tags, size);
	return 0;
}

static int put_zeros(struct tag_list *list, uint64_t first, uint64_t end)
{
	static const uint8_t zeros[256 * MANIFEST_TAG_SIZE];
	int r = 0;

	while (r == 0 && first < end) {
		const uint64_t count = end - first < 256 ? end - first : 256;

		r = put(list, first, zeros, count);
		first += count;
	}
	return r;
}

void tags_begin(struct file *file, const uint8_t tag[static MANIFEST_TAG_SIZE])
{
	tags_forget(file);
	file->is_tag_withdrawn = true;
	if (log_of(file) < 0)
		return;
	file->tags = calloc(1, sizeof(*file->tags));
	if (!file->tags)
		return;
	file->tags->fd = -1;
	file->tags->count = 1;
	if (reserve(file, file->tags, 1) < 0)
		tags_forget(file);
	else
		(void)!put(file->tags, 0, tag, 1);
}

void tags_withdraw(struct snapshot *snapshot, const struct header *header)
{
	const struct tag_record record = record_of(header);
	const int fd = keeper ? keeper->log(snapshot, &header->dek) : -ENOENT;

	if (fd >= 0)
		append(snapshot, fd, &record, NULL);
}

void tags_prepare(struct file *file)
{
	if (file->is_tag_withdrawn || log_of(file) < 0)
		return;
	file->is_tag_withdrawn = true;
	tags_withdraw(file->snapshot, &file->header);
}

void tags_stored(struct file *file, uint64_t first, const uint8_t *sealed, size_t size,
		 uint64_t count)
{
	const size_t step = file->layout->sealed_block_size;
	struct tag_list *list = file->tags;
	uint8_t tags[(FILE_CHUNK_SIZE >> LAYOUT_BLOCK_LOG2_MIN) + 2][MANIFEST_TAG_SIZE];
	size_t stored = 0;
	int r;

	if (!list)
		return;
	for (size_t at = 0; at < size && stored < ARRAY_SIZE(tags); at += step) {
		const size_t end = at + step < size ? at + step : size;

		memcpy(tags[stored++], sealed + end - LAYOUT_BLOCK_TAG_SIZE, MANIFEST_TAG_SIZE);
	}
	r = reserve(file, list, count > first + stored ? count : first + stored);
	if (r == 0 && first > list->count)
		r = put_zeros(list, list->count, first);
	if (r == 0)
		r = put(list, first, tags[0], stored);
	list->count = count;
	if (r < 0)
		tags_forget(file);
}

void tags_punched(struct file *file, uint64_t first, uint64_t end)
{
	if (file->tags && put_zeros(file->tags, first, end) < 0)
		tags_forget(file);
}

void tags_end(struct file *file)
{
	struct tag_list *list = file->tags;
	struct tag_record record;

	if (!list)
		return;
	if (file->failure == 0 && layout_block_count(file->layout, file->size) == list->count) {
		record = record_of(&file->header);
		record.count = list->count;
		record.is_large = list->fd >= 0;
		if (list->fd >= 0 &&
		    ftruncate(list->fd, (off_t)(list->count * MANIFEST_TAG_SIZE)) < 0)
			record.count = 0;
		append(file->snapshot, log_of(file), &record, list->tags);
	}
	tags_forget(file);
}
