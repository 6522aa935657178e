/* SPDX-License-Identifier: Apache-2.0 */
/* One object of a snapshot: made, filled, given its attributes; or reported. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/restore/restore_internal.h"
#include "fs/store/entry.h"

#define FAILED 1 /* reported; the restore goes on */

/* ---- Files ----------------------------------------------------------------------------------- */

/* A file being restored. */
struct copying {
	struct restore *restore;
	const struct walk_item *item;
	const char *path;
	int dir_fd;
	struct attributes attributes;
};

static uint32_t block_size_of(const struct copying *copying)
{
	return store_layout(copying->item->directory->place.store)->block_size;
}

static void count_bytes(void *arg, uint64_t bytes)
{
	const struct copying *copying = arg;
	const struct restore_observer *observer = copying->restore->options->observer;

	atomic_fetch_add(&copying->restore->counts->bytes, bytes);
	observer->done(observer->arg, 0, bytes, false);
}

/* What was written must come from storage, not from memory, as far as the kernel allows. */
static int read_back(struct content_job *job)
{
	if (fdatasync(job->fd) != 0)
		return -errno;
	(void)posix_fadvise(job->fd, 0, 0, POSIX_FADV_DONTNEED);
	job->compares = true;
	job->hash = NULL;
	return content_copy(job);
}

static int make_hash(const struct copying *copying, struct hash **ret_hash)
{
	return copying->restore->options->digested != NULL ? hash_new(ret_hash) : 0;
}

/* The file is whole in the target: HASH, if there is one, has had all of it. */
static int finish_hash(const struct copying *copying, struct hash *hash)
{
	const struct restore_options *options = copying->restore->options;
	uint8_t digest[SHA256_SIZE];
	int r = hash == NULL ? 0 : hash_final(hash, digest);

	return r < 0 || hash == NULL
		       ? r
		       : options->digested(options->digested_arg, copying->path, digest);
}

static struct content_job new_job(struct copying *copying, struct file *file, int fd,
				  struct hash *hash)
{
	return (struct content_job){
		.walk = copying->item->directory->walk,
		.file = file,
		.fd = fd,
		.size = file_size(file),
		.block_size = block_size_of(copying),
		.hash = hash,
		.progressed = count_bytes,
		.arg = copying,
	};
}

static int fill(struct copying *copying, struct content_job *job)
{
	int r = content_copy(job);

	/* Holes at the end are not written. */
	if (r == 0 && ftruncate(job->fd, (off_t)job->size) != 0)
		r = -errno;
	if (r == 0 && copying->restore->options->verifies)
		r = read_back(job);
	return r;
}

static int give_attributes(const struct copying *copying, int fd)
{
	const struct attributes_target target = {
		.fd = fd,
		.dir_fd = copying->dir_fd,
		.name = copying->item->name,
		.can_chown = copying->restore->can_chown,
	};

	return attributes_apply(&copying->attributes, &target);
}

static int fail_in_block(const struct copying *copying, int error, const struct content_job *job)
{
	return restore_failed_block(copying->restore, copying->path, error,
				    job->failed_offset / job->block_size);
}

static int write_file(struct copying *copying, struct file *file)
{
	CLEANUP(hash_cleanup) struct hash *hash = NULL;
	const char *name = copying->item->name;
	struct content_job job;
	int fd = -1;
	int r = target_clear(copying->restore, copying->dir_fd, name);

	if (r == 0)
		r = make_hash(copying, &hash);
	if (r == 0)
		fd = openat(copying->dir_fd, name,
			    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (r == 0 && fd < 0)
		r = -errno;
	if (r < 0)
		return restore_failed(copying->restore, copying->path, r);
	job = new_job(copying, file, fd, hash);
	r = fill(copying, &job);
	if (r == 0)
		r = give_attributes(copying, fd);
	if (r == 0)
		r = finish_hash(copying, hash);
	close(fd);
	if (r == 0)
		return 0;
	(void)!unlinkat(copying->dir_fd, name, 0);
	return fail_in_block(copying, r, &job);
}

/* An interrupted restore had finished it. */
static int keep_file(struct copying *copying, struct file *file)
{
	CLEANUP(hash_cleanup) struct hash *hash = NULL;
	const int fd = openat(copying->dir_fd, copying->item->name,
			      O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct content_job job = new_job(copying, file, fd, NULL);
	int r = fd < 0 ? -errno : make_hash(copying, &hash);

	job.compares = true;
	job.hash = hash;
	if (r == 0)
		r = content_copy(&job);
	if (r == 0)
		r = finish_hash(copying, hash);
	if (fd >= 0)
		close(fd);
	return r;
}

static struct sink_object sink_object_of(const struct copying *copying)
{
	const struct target_directory *above = copying->item->directory->data;

	return (struct sink_object){
		.path = copying->path,
		.name = copying->item->name,
		.above = above->sink_data,
		.attributes = &copying->attributes,
	};
}

static int send_file(struct copying *copying, struct file *file)
{
	CLEANUP(hash_cleanup) struct hash *hash = NULL;
	const struct restore_sink *sink = copying->restore->options->sink;
	const struct sink_object object = sink_object_of(copying);
	struct content_job job = new_job(copying, file, -1, NULL);
	int r = make_hash(copying, &hash);

	job.hash = hash;
	if (r == 0)
		r = sink->file(sink->arg, &object, &job);
	if (r == 0)
		r = finish_hash(copying, hash);
	return r == 0 ? 0 : fail_in_block(copying, r, &job);
}

/* The file may be unterminated, which its size below tells. */
static int open_failed(const struct copying *copying, int error)
{
	const struct walk_directory *directory = copying->item->directory;
	struct restore *restore = copying->restore;
	struct restore_fault fault = {
		.class = FINDING_UNTERMINATED,
		.text = "its writer did not finish it",
		.is_left_out = true,
	};
	bool is_terminated = true;
	struct stat stat;

	if (error == -EBADMSG && restore->options->view != NULL) {
		fault.class = FINDING_TAMPERED;
		fault.text = "it is not the file, or not the version, that was sealed";
		return restore_found(restore, copying->path, &fault);
	}
	if (error == -EBADMSG && snapshot_is_encrypted(directory->place.snapshot) &&
	    fstatat(directory->place.fd, copying->item->backing, &stat, AT_SYMLINK_NOFOLLOW) == 0)
		(void)layout_plain_size(store_layout(directory->place.store),
					(uint64_t)stat.st_size, &is_terminated);
	return is_terminated ? restore_failed(restore, copying->path, error)
			     : restore_found(restore, copying->path, &fault);
}

static int open_source(const struct copying *copying, struct file **ret_file)
{
	const struct file_open_options options = { .access = FILE_READ };
	const struct walk_item *item = copying->item;
	struct sealed_view *view = copying->restore->options->view;

	return view == NULL ? file_open(&item->directory->place, item->backing, &options, ret_file)
			    : sealed_file_open(view, &item->directory->place, item->backing,
					       &item->sealed, ret_file);
}

static int take_file(struct copying *copying, struct file *file)
{
	struct restore_counts *counts = copying->restore->counts;
	const struct restore_observer *observer = copying->restore->options->observer;
	const int r = copying->restore->options->sink != NULL ? send_file(copying, file)
							      : write_file(copying, file);

	if (r == 0) {
		atomic_fetch_add(&counts->files, 1);
		observer->done(observer->arg, 1, 0, false);
	}
	return r;
}

/* Finished by an interrupted restore.  To be sure, or for its digest, it is read all the same. */
static bool is_finished(const struct copying *copying)
{
	return copying->restore->options->sink == NULL &&
	       target_is_finished(copying->restore, copying->dir_fd, copying->item);
}

static void count_finished(const struct copying *copying)
{
	const struct restore_observer *observer = copying->restore->options->observer;

	atomic_fetch_add(&copying->restore->counts->resumed, 1);
	observer->done(observer->arg, 1, (uint64_t)copying->item->stat.st_size, true);
}

static int restore_file(struct copying *copying)
{
	const struct restore_options *options = copying->restore->options;
	const bool is_there = is_finished(copying);
	struct file *file = NULL;
	int r = 0;

	if (is_there && !options->verifies && options->digested == NULL) {
		count_finished(copying);
		return 0;
	}
	r = open_source(copying, &file);
	if (r < 0)
		return open_failed(copying, r);
	if (is_there && keep_file(copying, file) == 0)
		count_finished(copying);
	else
		r = take_file(copying, file);
	(void)!file_close(file, NULL);
	return r;
}

/* ---- What is no file ------------------------------------------------------------------------- */

static int make_symlink(const struct copying *copying)
{
	const struct walk_item *item = copying->item;
	const struct restore_sink *sink = copying->restore->options->sink;
	const struct sink_object object = sink_object_of(copying);
	struct sealed_view *view = copying->restore->options->view;
	char target[MANIFEST_TARGET_MAX + 1];
	int r = view != NULL
			? manifest_read_target(sealed_view_manifest(view), &item->sealed, target)
			: entry_readlink(&item->directory->place, item->backing, target,
					 sizeof(target));

	/* A data key without a record never made anything here. */
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	if (sink != NULL)
		return sink->symlink(sink->arg, &object, target);
	return symlinkat(target, copying->dir_fd, item->name) == 0 ? 0 : -errno;
}

static int make_special(const struct copying *copying)
{
	const struct stat *stat = &copying->item->stat;
	const struct restore_sink *sink = copying->restore->options->sink;
	const struct sink_object object = sink_object_of(copying);

	if (sink != NULL)
		return sink->special(sink->arg, &object);
	return mknodat(copying->dir_fd, copying->item->name, (stat->st_mode & S_IFMT) | 0600,
		       stat->st_rdev) == 0
		       ? 0
		       : -errno;
}

static int restore_other(struct copying *copying)
{
	struct restore_counts *counts = copying->restore->counts;
	const struct restore_observer *observer = copying->restore->options->observer;
	const bool is_symlink = S_ISLNK(copying->item->stat.st_mode);
	const bool has_sink = copying->restore->options->sink != NULL;
	int r = has_sink ? 0 : target_clear(copying->restore, copying->dir_fd, copying->item->name);

	if (r == 0)
		r = is_symlink ? make_symlink(copying) : make_special(copying);
	if (r > 0)
		return r;
	if (r < 0)
		return restore_failed(copying->restore, copying->path, r);
	r = has_sink ? 0 : give_attributes(copying, -1);
	if (r < 0) {
		(void)!unlinkat(copying->dir_fd, copying->item->name, 0);
		return restore_failed(copying->restore, copying->path, r);
	}
	atomic_fetch_add(is_symlink ? &counts->symlinks : &counts->special, 1);
	observer->done(observer->arg, 1, 0, false);
	return 0;
}

/* ---- One object ------------------------------------------------------------------------------ */

static int restore_object(struct restore *restore, const struct walk_item *item, int dir_fd,
			  const char *path)
{
	const struct restore_source source = {
		.place = &item->directory->place,
		.backing = item->backing,
		.stat = &item->stat,
		.index = item->index,
		.sealed = &item->sealed,
	};
	struct copying copying = {
		.restore = restore,
		.item = item,
		.path = path,
		.dir_fd = dir_fd,
	};
	int r = restore_compare(restore, path, &source);

	if (r > 0)
		return r;
	if (r == 0)
		r = restore_attributes(restore, path, &source, &copying.attributes);
	if (r < 0)
		return restore_failed(restore, path, r);
	r = S_ISREG(item->stat.st_mode) ? restore_file(&copying) : restore_other(&copying);
	attributes_free(&copying.attributes);
	return r;
}

/* ---- Hard links ------------------------------------------------------------------------------ */

static int link_in_directory(struct restore *restore, const struct link_group *group, int dir_fd,
			     const char *name)
{
	struct stat stat;
	int r = 0;

	if (fstatat(dir_fd, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && links_is_same(group, &stat))
		return 0;
	r = target_clear(restore, dir_fd, name);
	return r < 0 ? r : links_make(group, restore->options->target_fd, dir_fd, name);
}

static int link_in_sink(struct restore *restore, const struct link_group *group,
			struct walk_directory *directory, const char *name)
{
	const struct restore_sink *sink = restore->options->sink;
	const struct target_directory *above = directory->data;
	char path[WALK_PATH_SIZE];
	const struct sink_object object = {
		.path = walk_path(directory, name, path),
		.name = name,
		.above = above->sink_data,
	};

	return sink->link(sink->arg, &object, links_path(group));
}

static int link_one(struct restore *restore, const struct link_group *group,
		    struct walk_directory *directory, const char *name)
{
	const struct restore_observer *observer = restore->options->observer;
	char path[WALK_PATH_SIZE];
	const int dir_fd = target_directory_fd(restore, directory);
	int r = dir_fd < 0 ? dir_fd : 0;

	if (r == 0)
		r = restore->options->sink != NULL
			    ? link_in_sink(restore, group, directory, name)
			    : link_in_directory(restore, group, dir_fd, name);
	if (r < 0)
		return restore_failed(restore, walk_path(directory, name, path), r);
	atomic_fetch_add(&restore->counts->links, 1);
	observer->done(observer->arg, 1, 0, false);
	return 0;
}

/* An object whose first name failed fails under every other. */
static int link_waiter(struct restore *restore, const struct link_group *group,
		       const struct link_waiter *waiter, bool is_there)
{
	char path[WALK_PATH_SIZE];

	if (is_there)
		return link_one(restore, group, waiter->directory, waiter->name);
	return restore_failed(restore, walk_path(waiter->directory, waiter->name, path), -EIO);
}

static int restore_first(struct restore *restore, const struct walk_item *item, int dir_fd,
			 const char *path, struct link_group *group)
{
	struct link_waiter *waiters = NULL;
	struct stat stat = item->stat;
	bool is_there = false;
	int r = restore_object(restore, item, dir_fd, path);

	is_there = r == 0 && (restore->options->sink != NULL ||
			      fstatat(dir_fd, item->name, &stat, AT_SYMLINK_NOFOLLOW) == 0);
	waiters = links_finish(restore->links, group, is_there ? &stat : NULL);
	while (waiters != NULL) {
		struct link_waiter *next = waiters->next;

		if (r >= 0) {
			const int linked = link_waiter(restore, group, waiters, is_there);

			r = linked < 0 ? linked : r;
		}
		link_waiter_free(waiters);
		waiters = next;
	}
	return r;
}

int restore_item(struct restore *restore, const struct walk_item *item)
{
	const struct target_directory *above = item->directory->data;
	const struct restore_observer *observer = restore->options->observer;
	enum links_answer answer = LINKS_FIRST;
	struct link_group *group = NULL;
	char path[WALK_PATH_SIZE];
	int dir_fd = -1;
	int r = 0;

	walk_path(item->directory, item->name, path);
	if (filter_ask(restore->options->filter, path, item->name, above->is_inside) != FILTER_TAKE)
		return 0;
	observer->current(observer->arg, path);
	dir_fd = target_directory_fd(restore, item->directory);
	if (dir_fd < 0)
		return restore_failed(restore, path, dir_fd) < 0 ? dir_fd : 0;
	if (item->stat.st_nlink > 1)
		r = links_ask(restore->links, item, &answer, &group);
	if (r < 0 || answer == LINKS_WAITS)
		return r;
	if (answer == LINKS_READY)
		r = link_one(restore, group, item->directory, item->name);
	else if (answer == LINKS_FAILED)
		r = restore_failed(restore, path, -EIO);
	else if (group != NULL)
		r = restore_first(restore, item, dir_fd, path, group);
	else
		r = restore_object(restore, item, dir_fd, path);
	return r < 0 ? r : 0;
}
