/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects in the target.  Each is reached through the descriptor of the directory that holds it and never followed, so that
 * links which somebody has put there lead nowhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/restore/restore_internal.h"

static bool may_be_there(const struct restore *restore)
{
	return restore->options->resumes || restore->options->replaces;
}

int target_clear(const struct restore *restore, int dir_fd, const char *name)
{
	struct stat stat;

	if (!may_be_there(restore))
		return 0;
	if (fstatat(dir_fd, name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(stat.st_mode))
		return -EISDIR;
	return unlinkat(dir_fd, name, 0) == 0 ? 0 : -errno;
}

/* What new objects would inherit from the target is not the snapshot's. */
static int prepare_directory(int fd)
{
	struct stat stat;

	(void)!fremovexattr(fd, "system.posix_acl_default");
	(void)!fremovexattr(fd, "system.posix_acl_access");
	if (fstat(fd, &stat) != 0)
		return -errno;
	/* One that a restore without privileges had finished must take files again. */
	if ((stat.st_mode & 0700) != 0700 && fchmod(fd, 0700) != 0)
		return -errno;
	return 0;
}

static int open_directory(int dir_fd, const char *name)
{
	const int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int make_directory(const struct restore *restore, int dir_fd, const char *name)
{
	struct stat stat;

	if (mkdirat(dir_fd, name, 0700) == 0)
		return open_directory(dir_fd, name);
	if (errno != EEXIST || !may_be_there(restore))
		return -errno;
	if (fstatat(dir_fd, name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
		return -errno;
	if (!S_ISDIR(stat.st_mode) &&
	    (unlinkat(dir_fd, name, 0) != 0 || mkdirat(dir_fd, name, 0700) != 0))
		return -errno;
	return open_directory(dir_fd, name);
}

static int make(struct restore *restore, struct walk_directory *directory)
{
	int fd = -1;
	int parent_fd = -1;
	int r = 0;

	if (directory->parent == NULL) {
		fd = fcntl(restore->options->target_fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
	} else {
		parent_fd = target_directory_fd(restore, directory->parent);
		if (parent_fd < 0)
			return parent_fd;
		fd = make_directory(restore, parent_fd, directory->name);
		if (fd < 0)
			return fd;
	}
	r = prepare_directory(fd);
	if (r < 0) {
		close(fd);
		return r;
	}
	atomic_fetch_add(&restore->counts->directories, 1);
	return fd;
}

int target_directory_fd(struct restore *restore, struct walk_directory *directory)
{
	struct target_directory *target = directory->data;
	int fd = -1;

	pthread_mutex_lock(&target->lock);
	if (target->fd < 0) {
		fd = make(restore, directory);
		if (fd >= 0)
			target->fd = fd;
	} else {
		fd = target->fd;
	}
	pthread_mutex_unlock(&target->lock);
	return fd;
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static bool is_equal(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool target_is_finished(const struct restore *restore, int dir_fd, const struct walk_item *item)
{
	struct stat stat;

	/* One that was cut off has the time of its last write, which is after the restore began. */
	return restore->options->resumes &&
	       is_before(&item->stat.st_mtim, &restore->options->started) &&
	       fstatat(dir_fd, item->name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(stat.st_mode) && stat.st_size == item->stat.st_size &&
	       is_equal(&stat.st_mtim, &item->stat.st_mtim);
}
