/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime directory. */
#include "fs/control/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/control/address.h"

/* Make the directory and those above it, as systemd would: nobody else may write to them. */
static int make_directories(const char *path)
{
	char partial[PATH_MAX];
	const size_t length = strlen(path);

	if (length >= sizeof(partial))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= length; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(partial, path, i);
		partial[i] = '\0';
		if (mkdir(partial, 0755) != 0 && errno != EEXIST)
			return -errno;
	}
	return 0;
}

int control_directory_open(const char *path, bool make, int *ret_fd)
{
	struct stat stat;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && make) {
		const int r = make_directories(path);

		if (r < 0)
			return r;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat) != 0 || (stat.st_uid != geteuid() && stat.st_uid != 0) ||
	    (stat.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		close(fd);
		return -EPERM;
	}
	*ret_fd = fd;
	return 0;
}

int control_connect(int directory_fd, const char *name, int *ret_fd)
{
	struct sockaddr_un address;
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	control_address(directory_fd, name, &address);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		const int error = -errno;

		close(fd);
		return error;
	}
	*ret_fd = fd;
	return 0;
}

void control_directory_remove_stale(int directory_fd)
{
	const int copy_fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = copy_fd < 0 ? NULL : fdopendir(copy_fd);
	struct dirent *entry = NULL;
	struct uuid volume;
	struct uuid mount;

	if (directory == NULL) {
		if (copy_fd >= 0)
			close(copy_fd);
		return;
	}
	while ((entry = readdir(directory)) != NULL) {
		int fd = -1;

		if (control_parse_name(entry->d_name, &volume, &mount) < 0)
			continue;
		if (control_connect(directory_fd, entry->d_name, &fd) == -ECONNREFUSED)
			unlinkat(directory_fd, entry->d_name, 0);
		if (fd >= 0)
			close(fd);
	}
	closedir(directory);
}
