/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the state directory. */
#include "fs/store/state_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/whole_file.h"
#include "meta/records/record.h"

#define TEMPORARY_SUFFIX ".tmp"

struct state_dir {
	char *path;
	/* flock() belongs to an open file, so it keeps processes apart; the mutex keeps threads apart. */
	pthread_mutex_t mutex;
};

static int check_directory(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if ((st.st_uid != geteuid() && st.st_uid != 0) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	return 0;
}

int state_dir_open(const char *path, struct state_dir **ret_dir)
{
	struct state_dir *dir;
	int r = check_directory(path);

	if (r < 0)
		return r;
	dir = calloc(1, sizeof(*dir));
	if (!dir)
		return -ENOMEM;
	dir->path = strdup(path);
	if (!dir->path || pthread_mutex_init(&dir->mutex, NULL) != 0) {
		free(dir->path);
		free(dir);
		return -ENOMEM;
	}
	*ret_dir = dir;
	return 0;
}

void state_dir_close(struct state_dir *dir)
{
	if (!dir)
		return;
	pthread_mutex_destroy(&dir->mutex);
	free(dir->path);
	free(dir);
}

const char *state_dir_path(const struct state_dir *dir)
{
	return dir->path;
}

static int full_path(const struct state_dir *dir, const char *name, char **ret_path)
{
	char *path = NULL;

	if (asprintf(&path, "%s/%s", dir->path, name) < 0)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}

/* Every directory above the last component of PATH.  Those of the state directory are private. */
static int make_parents(const struct state_dir *dir, const char *path)
{
	const size_t own_size = strlen(dir->path);
	char *copy = strdup(path);
	int r = 0;

	if (!copy)
		return -ENOMEM;
	for (char *slash = strchr(copy + 1, '/'); slash && r == 0; slash = strchr(slash + 1, '/')) {
		const bool is_own = (size_t)(slash - copy) >= own_size;

		*slash = '\0';
		if (mkdir(copy, is_own ? 0700 : 0755) < 0 && errno != EEXIST)
			r = -errno;
		*slash = '/';
	}
	free(copy);
	return r;
}

int state_dir_make_path(struct state_dir *dir, const char *name, char **ret_path)
{
	char *path = NULL;
	int r = full_path(dir, name, &path);

	if (r == 0)
		r = make_parents(dir, path);
	if (r < 0) {
		free(path);
		return r;
	}
	*ret_path = path;
	return 0;
}

int state_dir_read(struct state_dir *dir, const char *name, char **ret_data, size_t *ret_size)
{
	char *path = NULL;
	int fd;
	int r = full_path(dir, name, &path);

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	r = fd < 0 ? -errno : 0;
	free(path);
	if (r < 0)
		return r;
	r = whole_file_read(fd, 2 * RECORD_SIZE_MAX, ret_data, ret_size);
	close(fd);
	return r;
}

static int sync_parent(const char *path)
{
	char *copy = strdup(path);
	char *slash = copy ? strrchr(copy, '/') : NULL;
	int fd;
	int r = 0;

	if (!slash) {
		free(copy);
		return -ENOMEM;
	}
	*slash = '\0';
	fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	free(copy);
	return r;
}

static int write_temporary(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = whole_file_write(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

int state_dir_write(struct state_dir *dir, const char *name, const char *text)
{
	char *path = NULL;
	char *temporary = NULL;
	int r = state_dir_make_path(dir, name, &path);

	if (r < 0)
		return r;
	/* Two writers of one name hold its lock; of different names, the thread and process id tell them apart. */
	if (asprintf(&temporary, "%s.%d" TEMPORARY_SUFFIX, path, (int)gettid()) < 0) {
		free(path);
		return -ENOMEM;
	}
	r = write_temporary(temporary, text);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(temporary);
	else
		r = sync_parent(path);
	free(temporary);
	free(path);
	return r;
}

int state_dir_remove(struct state_dir *dir, const char *name)
{
	char *path = NULL;
	int r = full_path(dir, name, &path);

	if (r < 0)
		return r;
	if (unlink(path) < 0)
		r = errno == ENOENT ? 0 : -errno;
	free(path);
	return r;
}

static bool is_shown(const char *name)
{
	const size_t size = strlen(name);
	const size_t suffix_size = strlen(TEMPORARY_SUFFIX);

	return name[0] != '.' &&
	       (size < suffix_size || strcmp(name + size - suffix_size, TEMPORARY_SUFFIX) != 0);
}

int state_dir_list(struct state_dir *dir, const char *name, char ***ret_names, size_t *ret_count)
{
	char *path = NULL;
	int r = full_path(dir, name, &path);

	if (r < 0)
		return r;
	r = directory_names(AT_FDCWD, path, is_shown, ret_names, ret_count);
	free(path);
	return r;
}

int state_dir_lock(struct state_dir *dir, const char *name)
{
	char *file = NULL;
	char *path = NULL;
	int fd;
	int r;

	if (asprintf(&file, "%s/lock", name) < 0)
		return -ENOMEM;
	r = state_dir_make_path(dir, file, &path);
	free(file);
	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = fd < 0 ? -errno : 0;
	free(path);
	if (r < 0)
		return r;
	pthread_mutex_lock(&dir->mutex);
	while (flock(fd, LOCK_EX) < 0) {
		if (errno == EINTR)
			continue;
		r = -errno;
		pthread_mutex_unlock(&dir->mutex);
		close(fd);
		return r;
	}
	return fd;
}

void state_dir_unlock(struct state_dir *dir, int lock)
{
	close(lock);
	pthread_mutex_unlock(&dir->mutex);
}
