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

struct sink_object target_sink_object(const struct walk_directory *directory)
{
	const struct target_directory *target = directory->data;
	const struct target_directory *above = directory->parent == NULL ? NULL
									 : directory->parent->data;

	return (struct sink_object){
		.path = directory->path,
		.name = directory->name,
		.above = above == NULL ? NULL : above->sink_data,
		.attributes = &target->attributes,
	};
}

static int make_in_sink(struct restore *restore, struct walk_directory *directory)
{
	const struct restore_sink *sink = restore->options->sink;
	struct target_directory *target = directory->data;
	int r = directory->parent == NULL ? 0 : target_directory_fd(restore, directory->parent);

	if (r == 0) {
		const struct sink_object object = target_sink_object(directory);

		r = sink->begin(sink->arg, &object, &target->sink_data);
	}
	if (r == 0)
		atomic_fetch_add(&restore->counts->directories, 1);
	return r;
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
	const bool has_sink = restore->options->sink != NULL;
	struct target_directory *target = directory->data;
	int r = 0;

	pthread_mutex_lock(&target->lock);
	if (!target->is_made) {
		r = has_sink ? make_in_sink(restore, directory) : make(restore, directory);
		if (r >= 0)
			target->is_made = true;
		if (r >= 0 && !has_sink)
			target->fd = r;
	}
	if (r >= 0)
		r = has_sink ? 0 : target->fd;
	pthread_mutex_unlock(&target->lock);
	return r;
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
