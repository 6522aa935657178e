/* SPDX-License-Identifier: Apache-2.0 */
/* openat2(), and directories as lists. */
#include "fs/store/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int open_beneath(int dir_fd, const char *name, int flags, unsigned mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	long fd;

	do {
		fd = syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? -errno : (int)fd;
}

int directory_sync(int dir_fd, const char *name)
{
	const int fd = open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY, 0);
	int r = 0;

	if (fd < 0)
		return fd;
	if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct name_list {
	char **names;
	size_t count;
	size_t capacity;
};

static int name_list_add(struct name_list *list, const char *name)
{
	char *copy;

	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 16;
		char **names = reallocarray(list->names, capacity, sizeof(*names));

		if (!names)
			return -ENOMEM;
		list->names = names;
		list->capacity = capacity;
	}
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	list->names[list->count++] = copy;
	return 0;
}

static int read_names(DIR *stream, bool (*is_wanted)(const char *name), struct name_list *list)
{
	for (;;) {
		const struct dirent *entry;
		int r;

		errno = 0;
		entry = readdir(stream);
		if (!entry)
			return -errno;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    (is_wanted && !is_wanted(entry->d_name)))
			continue;
		r = name_list_add(list, entry->d_name);
		if (r < 0)
			return r;
	}
}

int directory_names(int dir_fd, const char *name, bool (*is_wanted)(const char *name),
		    char ***ret_names, size_t *ret_count)
{
	struct name_list list = { 0 };
	DIR *stream;
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int r;

	if (fd < 0)
		return -errno;
	stream = fdopendir(fd);
	if (!stream) {
		r = -errno;
		close(fd);
		return r;
	}
	r = read_names(stream, is_wanted, &list);
	closedir(stream);
	if (r < 0) {
		names_free(list.names, list.count);
		return r;
	}
	if (list.count > 1)
		qsort(list.names, list.count, sizeof(*list.names), compare_names);
	*ret_names = list.names;
	*ret_count = list.count;
	return 0;
}

void names_free(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}
