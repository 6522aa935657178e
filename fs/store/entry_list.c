/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing a directory: getdents64(2) into a buffer, names decoded one after the other, nothing
 * allocated per name.  Positions are those of the filesystem below.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/entry_internal.h"
#include "fs/store/name_internal.h"

#define LIST_BUFFER_SIZE ((size_t)32 << 10)

struct entry_list {
	struct place place; /* its fd is the list's own */
	struct siv_key *key;
	char *path;
	unsigned hidden;
	size_t size;
	size_t position;
	char name[256];
	_Alignas(struct dirent64) char buffer[LIST_BUFFER_SIZE];
};

static int open_list(const struct place *directory, struct entry_list *list)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

	list->place = *directory;
	list->place.fd = openat(directory->fd, ".", flags);
	if (list->place.fd < 0)
		return -errno;
	list->path = strdup(directory->path);
	if (!list->path)
		return -ENOMEM;
	list->place.path = list->path;
	snapshot_ref(list->place.snapshot);
	return name_key(directory, &list->key);
}

int entry_list_open(const struct place *directory, struct entry_list **ret_list)
{
	struct entry_list *list = calloc(1, sizeof(*list));
	int r;

	if (!list)
		return -ENOMEM;
	list->place.fd = -1;
	r = open_list(directory, list);
	if (r < 0) {
		entry_list_close(list);
		return r;
	}
	*ret_list = list;
	return 0;
}

void entry_list_close(struct entry_list *list)
{
	if (!list)
		return;
	if (list->place.fd >= 0)
		close(list->place.fd);
	if (list->path)
		snapshot_put(list->place.snapshot);
	siv_key_free(list->key);
	free(list->path);
	free(list);
}

int entry_list_seek(struct entry_list *list, off_t position)
{
	if (lseek(list->place.fd, position, SEEK_SET) < 0)
		return -errno;
	list->size = 0;
	list->position = 0;
	return 0;
}

unsigned entry_list_hidden(const struct entry_list *list)
{
	return list->hidden;
}

/* 1 and the next entry below, 0 at the end. */
static int read_below(struct entry_list *list, const struct dirent64 **ret_entry)
{
	if (list->position >= list->size) {
		const ssize_t size = getdents64(list->place.fd, list->buffer, sizeof(list->buffer));

		if (size <= 0)
			return size < 0 ? -errno : 0;
		list->size = (size_t)size;
		list->position = 0;
	}

	const struct dirent64 *entry = (const void *)(list->buffer + list->position);

	list->position += entry->d_reclen;
	*ret_entry = entry;
	return 1;
}

/* The key was withdrawn and is back: what this list holds stays wiped. */
static int decode_again(struct entry_list *list, const char *backing)
{
	struct siv_key *key = NULL;
	int r = name_key(&list->place, &key);

	if (r < 0)
		return r;
	siv_key_free(list->key);
	list->key = key;
	return name_decode_with(key, &list->place, backing, list->name);
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int decode(struct entry_list *list, const char *backing)
{
	int r;

	if (is_dot(backing)) {
		strcpy(list->name, backing);
		return 0;
	}
	r = name_decode_with(list->key, &list->place, backing, list->name);
	if (r < 0 && r != -EBADMSG && r != -ENODATA && list->key)
		r = decode_again(list, backing);
	return r;
}

static void hide(struct entry_list *list, const char *backing)
{
	if (list->hidden++ == 0)
		store_report(list->place.store, LOG_WARNING, list->path,
			     "%s: this name, and maybe others, does not decrypt; it is not shown",
			     backing);
}

int entry_list_next(struct entry_list *list, struct entry *ret_entry)
{
	const struct dirent64 *below = NULL;
	int r;

	while ((r = read_below(list, &below)) > 0) {
		r = decode(list, below->d_name);
		if (r == -EBADMSG)
			hide(list, below->d_name);
		if (r == -EBADMSG || r == -ENODATA)
			continue;
		if (r < 0) {
			/* The same entry comes again once the key is there. */
			list->position -= below->d_reclen;
			return r;
		}
		*ret_entry = (struct entry){
			.name = list->name,
			.backing = below->d_name,
			.inode = below->d_ino,
			.type = (mode_t)DTTOIF(below->d_type),
			.next = below->d_off,
		};
		return 1;
	}
	return r;
}
