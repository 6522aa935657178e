/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot written into another volume. */
#include "fs/export/volume_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/entry.h"
#include "fs/store/file.h"

struct volume_copy {
	struct place top; /* the snapshot's directory */
	bool can_chown;
	struct restore_sink sink;
};

/* A directory of the copy. */
struct copied_directory {
	struct place place;
	char path[];
};

/* ---- Directories ----------------------------------------------------------------------------- */

/* What it would inherit from where the volume lies is not the snapshot's. */
static void drop_inherited(int fd)
{
	(void)!fremovexattr(fd, "system.posix_acl_default");
	(void)!fremovexattr(fd, "system.posix_acl_access");
}

static struct copied_directory *directory_new(const struct place *like, const char *path)
{
	struct copied_directory *directory = calloc(1, sizeof(*directory) + strlen(path) + 1);

	if (directory == NULL)
		return NULL;
	directory->place = *like;
	directory->place.path = strcpy(directory->path, path);
	directory->place.fd = -1;
	return directory;
}

static void directory_free(struct copied_directory *directory)
{
	if (directory->place.fd >= 0)
		close(directory->place.fd);
	free(directory);
}

/* The directory NAME in PARENT, opened. */
static int open_directory(const struct place *parent, const char *name,
			  struct copied_directory **ret_directory)
{
	struct copied_directory *directory = NULL;
	struct backing_name backing;
	char path[PATH_MAX];
	int r = name_encode(parent, name, &backing);

	if (r < 0)
		return r;
	/* Too long for a path: cut, as it is for messages and hints only. */
	if (snprintf(path, sizeof(path), "%s/%s", parent->path, backing.text) < 0)
		return -EINVAL;
	directory = directory_new(parent, path);
	if (directory == NULL)
		return -ENOMEM;
	directory->place.depth = parent->depth + 1;
	r = open_beneath(parent->fd, backing.text, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (r < 0) {
		directory_free(directory);
		return r;
	}
	directory->place.fd = r;
	*ret_directory = directory;
	return 0;
}

static int begin_top(struct volume_copy *copy, struct copied_directory **ret_directory)
{
	struct copied_directory *directory = directory_new(&copy->top, copy->top.path);

	if (directory == NULL)
		return -ENOMEM;
	directory->place.fd = fcntl(copy->top.fd, F_DUPFD_CLOEXEC, 0);
	if (directory->place.fd < 0) {
		free(directory);
		return -errno;
	}
	*ret_directory = directory;
	return 0;
}

static int begin_directory(void *arg, const struct sink_object *object, void **ret_data)
{
	const struct copied_directory *above = object->above;
	struct copied_directory *directory = NULL;
	int r = 0;

	if (above == NULL) {
		r = begin_top(arg, &directory);
	} else {
		r = entry_mkdir(&above->place, object->name, 0700);
		if (r == 0)
			r = open_directory(&above->place, object->name, &directory);
	}
	if (r < 0)
		return r;
	drop_inherited(directory->place.fd);
	*ret_data = directory;
	return 0;
}

static int end_directory(void *arg, const struct sink_object *object, void *data)
{
	const struct volume_copy *copy = arg;
	struct copied_directory *directory = data;
	const struct xattr_target engine = { &directory->place, "", S_IFDIR };
	const struct attributes_target target = {
		.fd = directory->place.fd,
		.dir_fd = -1,
		.can_chown = copy->can_chown,
		.engine = &engine,
	};
	const int r = attributes_apply(object->attributes, &target);

	directory_free(directory);
	return r;
}

/* ---- Files ----------------------------------------------------------------------------------- */

static int write_data(void *arg, const uint8_t *data, size_t size, uint64_t offset)
{
	struct file *file = arg;

	while (size > 0) {
		const ssize_t n = file_write(file, data, size, offset);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EIO;
		data += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static int fill_file(const struct volume_copy *copy, const struct sink_object *object,
		     struct content_job *job, struct file *file, const char *backing)
{
	const struct copied_directory *above = object->above;
	const struct xattr_target engine = { &above->place, backing, S_IFREG };
	const struct attributes_target target = {
		.fd = file_fd(file),
		.dir_fd = -1,
		.can_chown = copy->can_chown,
		.engine = &engine,
	};
	int r = 0;

	job->write = write_data;
	job->write_arg = file;
	r = content_copy(job);
	/* A hole at the end. */
	if (r == 0 && file_size(file) != job->size)
		r = file_truncate(file, job->size);
	if (r == 0)
		r = file_flush(file);
	return r < 0 ? r : attributes_apply(object->attributes, &target);
}

static int copy_file(void *arg, const struct sink_object *object, struct content_job *job)
{
	const struct copied_directory *above = object->above;
	struct backing_name backing;
	struct file *file = NULL;
	int closed = 0;
	int r = file_create(&above->place, object->name, 0600, &backing, &file);

	if (r < 0)
		return r;
	r = fill_file(arg, object, job, file, backing.text);
	closed = file_close(file, NULL);
	if (r == 0)
		r = closed;
	if (r < 0)
		(void)!entry_unlink(&above->place, object->name);
	return r;
}

/* ---- Others ---------------------------------------------------------------------------------- */

static int give_attributes(const struct volume_copy *copy, const struct sink_object *object)
{
	const struct copied_directory *above = object->above;
	struct backing_name backing;
	const struct xattr_target engine = { &above->place, backing.text,
					     object->attributes->stat.st_mode };
	const struct attributes_target target = {
		.fd = -1,
		.dir_fd = above->place.fd,
		.name = backing.text,
		.can_chown = copy->can_chown,
		.engine = &engine,
	};
	int r = name_encode(&above->place, object->name, &backing);

	if (r == 0)
		r = attributes_apply(object->attributes, &target);
	if (r < 0)
		(void)!entry_unlink(&above->place, object->name);
	return r;
}

static int copy_symlink(void *arg, const struct sink_object *object, const char *target)
{
	const struct copied_directory *above = object->above;
	const int r = entry_symlink(&above->place, object->name, target);

	return r < 0 ? r : give_attributes(arg, object);
}

static int copy_special(void *arg, const struct sink_object *object)
{
	const struct copied_directory *above = object->above;
	const struct stat *stat = &object->attributes->stat;
	const int r = entry_mknod(&above->place, object->name, (stat->st_mode & S_IFMT) | 0600,
				  stat->st_rdev);

	return r < 0 ? r : give_attributes(arg, object);
}

/* ---- Further names --------------------------------------------------------------------------- */

static int link_to(const struct copied_directory *from, const char *first,
		   const struct sink_object *object)
{
	const struct copied_directory *above = object->above;
	struct backing_name backing;
	const int r = name_encode(&from->place, first, &backing);

	return r < 0 ? r : entry_link(&from->place, backing.text, &above->place, object->name);
}

/* Down from the snapshot's directory to the one that holds the first name. */
static int copy_link(void *arg, const struct sink_object *object, const char *first)
{
	struct copied_directory *directory = NULL;
	char *path = strdup(first);
	char *part = path;
	char *slash = NULL;
	int r = path == NULL ? -ENOMEM : begin_top(arg, &directory);

	while (r == 0 && (slash = strchr(part, '/')) != NULL) {
		struct copied_directory *below = NULL;

		*slash = '\0';
		r = open_directory(&directory->place, part, &below);
		if (r == 0) {
			directory_free(directory);
			directory = below;
			part = slash + 1;
		}
	}
	if (r == 0)
		r = link_to(directory, part, object);
	if (directory != NULL)
		directory_free(directory);
	free(path);
	return r;
}

/* ---- All of it ------------------------------------------------------------------------------- */

int volume_copy_new(struct snapshot *snapshot, int fd, struct volume_copy **ret_copy)
{
	struct volume_copy *copy = calloc(1, sizeof(*copy));

	if (copy == NULL)
		return -ENOMEM;
	copy->can_chown = geteuid() == 0;
	copy->top = (struct place){
		.store = snapshot_store(snapshot),
		.snapshot = snapshot,
		.fd = fd,
		.depth = store_volume(snapshot_store(snapshot))->snapshot_depth,
		.path = snapshot_name(snapshot),
	};
	copy->sink = (struct restore_sink){
		.begin = begin_directory,
		.end = end_directory,
		.file = copy_file,
		.symlink = copy_symlink,
		.special = copy_special,
		.link = copy_link,
		.arg = copy,
	};
	*ret_copy = copy;
	return 0;
}

void volume_copy_free(struct volume_copy *copy)
{
	free(copy);
}

const struct restore_sink *volume_copy_sink(const struct volume_copy *copy)
{
	return &copy->sink;
}
