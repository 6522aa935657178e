/* SPDX-License-Identifier: Apache-2.0 */
/* Lists and marker in a directory. */
#include "fs/export/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/whole_file.h"

#define OUR_PREFIX ".snapcrypt-export."
#define NEW_NAME   ".snapcrypt-export.new"

static bool is_ours(const char *name)
{
	return strncmp(name, OUR_PREFIX, strlen(OUR_PREFIX)) == 0;
}

static int sync_directory(int dir_fd)
{
	const int fd = open_beneath(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	int r = fd < 0 ? fd : 0;

	if (fd >= 0 && fsync(fd) != 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	return r;
}

int output_clear(int dir_fd)
{
	char **names = NULL;
	size_t count = 0;
	int r = unlinkat(dir_fd, EXPORT_MARKER_NAME, 0) == 0 || errno == ENOENT ? 0 : -errno;

	/* A crash must not bring the marker back above files that are being replaced. */
	if (r == 0)
		r = sync_directory(dir_fd);
	if (r == 0)
		r = directory_names(dir_fd, ".", is_ours, &names, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (unlinkat(dir_fd, names[i], 0) != 0)
			r = -errno;
	names_free(names, count);
	return r;
}

int output_put(int dir_fd, const char *name, const void *data, size_t size)
{
	const int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			      0644);
	int r = fd < 0 ? -errno : whole_file_write(fd, data, size);

	if (r == 0 && fsync(fd) != 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	return r;
}

int output_mark(int dir_fd, const char *text)
{
	int r = syncfs(dir_fd) == 0 ? 0 : -errno;

	if (r == 0)
		r = output_put(dir_fd, NEW_NAME, text, strlen(text));
	if (r == 0 && renameat(dir_fd, NEW_NAME, dir_fd, EXPORT_MARKER_NAME) != 0)
		r = -errno;
	return r < 0 ? r : sync_directory(dir_fd);
}
