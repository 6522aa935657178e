/* SPDX-License-Identifier: Apache-2.0 */
/* What is remembered of the files of a snapshot: fs/store/tag_memory.h. */
#include "fs/store/tag_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/file_internal.h"
#include "fs/store/store_internal.h"
#include "fs/store/tag_record.h"
#include "meta/encoding.h"

#define BUFFER_SIZE ((size_t)256 << 10)

/* The last entry of an object is the one that counts: the one with the highest place. */
struct tag_place {
	uint8_t object_id[HEADER_OBJECT_ID_SIZE];
	uint64_t offset;
};

struct tag_memory {
	int directory_fd;
	int log_fd;
	struct tag_place *places;
	size_t count;
	size_t capacity;
};

static int add_place(struct tag_memory *memory, const struct tag_record *record, uint64_t offset)
{
	struct tag_place *place;

	if (memory->count == memory->capacity) {
		const size_t capacity = memory->capacity ? memory->capacity * 2 : 1024;
		struct tag_place *more = reallocarray(memory->places, capacity, sizeof(*more));

		if (!more)
			return -ENOMEM;
		memory->places = more;
		memory->capacity = capacity;
	}
	place = &memory->places[memory->count++];
	memcpy(place->object_id, record->object_id, sizeof(place->object_id));
	place->offset = offset;
	return 0;
}

static int compare_places(const void *a, const void *b)
{
	const struct tag_place *first = a;
	const struct tag_place *second = b;
	const int order = memcmp(first->object_id, second->object_id, sizeof(first->object_id));

	if (order != 0)
		return order;
	return first->offset < second->offset ? -1 : first->offset > second->offset;
}

/* The log is read once from its beginning; what is behind a half entry does not count. */
static int read_log(struct tag_memory *memory)
{
	uint8_t *buffer = malloc(BUFFER_SIZE);
	uint64_t begin = 0;
	uint64_t at = 0;
	ssize_t filled = 0;
	int r = buffer ? 0 : -ENOMEM;

	while (r == 0) {
		struct tag_record record;

		if (at < begin || at + sizeof(record) > begin + (uint64_t)filled) {
			begin = at;
			filled = read_all(memory->log_fd, buffer, BUFFER_SIZE, begin);
			if (filled < (ssize_t)sizeof(record))
				break;
		}
		memcpy(&record, buffer + (at - begin), sizeof(record));
		if (record.magic != TAG_RECORD_MAGIC || record.count > LAYOUT_BLOCK_COUNT_MAX)
			break;
		r = add_place(memory, &record, at);
		at += sizeof(record) + (record.is_large ? 0 : record.count * MANIFEST_TAG_SIZE);
	}
	free(buffer);
	if (r == 0 && filled < 0)
		r = (int)filled;
	if (r == 0 && memory->count > 1)
		qsort(memory->places, memory->count, sizeof(*memory->places), compare_places);
	return r;
}

void tag_memory_close(struct tag_memory *memory)
{
	if (!memory)
		return;
	if (memory->log_fd >= 0)
		close(memory->log_fd);
	if (memory->directory_fd >= 0)
		close(memory->directory_fd);
	free(memory->places);
	free(memory);
}

int tag_memory_open(struct store *store, const struct uuid *snapshot,
		    struct tag_memory **ret_memory)
{
	struct tag_memory *memory = NULL;
	char path[TAG_PATH_SIZE];
	int r = tag_directory(store->trust, &store->volume.volume, snapshot, path);

	*ret_memory = NULL;
	if (r < 0)
		return r;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return -ENOMEM;
	memory->log_fd = -1;
	memory->directory_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (memory->directory_fd >= 0)
		memory->log_fd = openat(memory->directory_fd, TAG_LOG, O_RDONLY | O_CLOEXEC);
	/* Nothing is remembered: then everything is read. */
	if (memory->log_fd >= 0)
		r = read_log(memory);
	if (r < 0 || memory->log_fd < 0) {
		tag_memory_close(memory);
		return r;
	}
	*ret_memory = memory;
	return 0;
}

void tag_memory_remove(struct store *store, const struct uuid *snapshot)
{
	char path[TAG_PATH_SIZE];
	char **names = NULL;
	size_t count = 0;
	int fd;

	if (tag_directory(store->trust, &store->volume.volume, snapshot, path) < 0)
		return;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (directory_names(fd, ".", NULL, &names, &count) == 0) {
		for (size_t i = 0; i < count; i++)
			(void)unlinkat(fd, names[i], 0);
		names_free(names, count);
	}
	close(fd);
	(void)rmdir(path);
}

/* ---- One file ------------------------------------------------------------------------------------------------------ */

static const struct tag_place *find_place(const struct tag_memory *memory,
					  const struct header *header)
{
	size_t low = 0;
	size_t high = memory->count;

	/* The first that is greater; the one before it is the last of its object. */
	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (memcmp(memory->places[middle].object_id, header->object_id,
			   HEADER_OBJECT_ID_SIZE) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || memcmp(memory->places[low - 1].object_id, header->object_id,
			       HEADER_OBJECT_ID_SIZE) != 0)
		return NULL;
	return &memory->places[low - 1];
}

static int open_large(const struct tag_memory *memory, const struct header *header)
{
	char name[TAG_NAME_SIZE];

	hex_encode((struct bytes){ header->object_id, HEADER_OBJECT_ID_SIZE }, name);
	return openat(memory->directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

int tag_memory_find(struct tag_memory *memory, const struct header *header, uint64_t count,
		    struct remembered *ret_remembered)
{
	const struct tag_place *place = memory ? find_place(memory, header) : NULL;
	struct tag_record record;
	bool is_of_this_boot;

	if (!place || read_all(memory->log_fd, (uint8_t *)&record, sizeof(record), place->offset) !=
			      (ssize_t)sizeof(record))
		return 0;
	is_of_this_boot = !uuid_is_zero(tag_boot()) && uuid_equal(&record.boot, tag_boot());
	/* Withdrawn. */
	if (record.count == 0)
		return 0;
	/* What an earlier boot wrote may have been lost by a crash. */
	if (record.count != count ||
	    memcmp(record.content_id, header->content_id, sizeof(record.content_id)) != 0)
		return is_of_this_boot ? -ESTALE : 0;
	*ret_remembered = (struct remembered){
		.fd = record.is_large ? open_large(memory, header) : memory->log_fd,
		.is_own_fd = record.is_large,
		.offset = record.is_large ? 0 : place->offset + sizeof(record),
		.is_of_this_boot = is_of_this_boot,
	};
	return ret_remembered->fd >= 0;
}

int tag_memory_read(struct tag_memory *memory, const struct remembered *remembered, uint64_t first,
		    size_t count, uint8_t *tags)
{
	const size_t size = count * MANIFEST_TAG_SIZE;
	const ssize_t n = read_all(remembered->fd, tags, size,
				   remembered->offset + first * MANIFEST_TAG_SIZE);

	(void)memory;
	if (n < 0)
		return (int)n;
	return (size_t)n == size ? 0 : -ENODATA;
}

void tag_memory_done(struct remembered *remembered)
{
	if (remembered->is_own_fd)
		close(remembered->fd);
	remembered->fd = -1;
}
