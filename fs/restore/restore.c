/* SPDX-License-Identifier: Apache-2.0 */
/* A whole snapshot: the walk, its directories, and what is reported. */
#include "fs/restore/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/restore/restore_internal.h"
#include "fs/store/sealed_compare.h"

#define FAILED 1

/* ---- Failures -------------------------------------------------------------------------------- */

/* After these every other object would fail as well. */
static bool ends_restore(int error)
{
	static const int errors[] = { ENOMEM,      ENOSPC,      EDQUOT,   ECANCELED,    EROFS,
				      EKEYREVOKED, EKEYEXPIRED, ENOKEY,   EHOSTUNREACH, ETIMEDOUT,
				      EMFILE,      ENFILE,      ESHUTDOWN };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (error == -errors[i])
			return true;
	return false;
}

static void report_failure(struct restore *restore, const char *path, int error, uint64_t block)
{
	const struct restore_observer *observer = restore->options->observer;
	const bool is_finding = error == -EBADMSG;
	const struct finding finding = {
		.class = FINDING_TAMPERED,
		.path = path,
		.block = block,
		.text = "not authentic",
	};

	atomic_fetch_add(&restore->counts->failures, 1);
	if (is_finding)
		atomic_fetch_add(&restore->counts->findings, 1);
	observer->failed(observer->arg, path, is_finding ? &finding : NULL, error);
}

int restore_failed_block(struct restore *restore, const char *path, int error, uint64_t block)
{
	if (ends_restore(error))
		return error;
	report_failure(restore, path, error, block);
	return FAILED;
}

int restore_failed(struct restore *restore, const char *path, int error)
{
	return restore_failed_block(restore, path, error, FINDING_NO_BLOCK);
}

int restore_found(struct restore *restore, const char *path, const struct restore_fault *fault)
{
	const struct restore_observer *observer = restore->options->observer;
	const struct finding finding = {
		.class = fault->class,
		.path = path,
		.block = FINDING_NO_BLOCK,
		.text = fault->text,
	};

	atomic_fetch_add(&restore->counts->findings, 1);
	if (fault->is_left_out)
		atomic_fetch_add(&restore->counts->failures, 1);
	observer->failed(observer->arg, path, &finding, 0);
	return FAILED;
}

int restore_compare(struct restore *restore, const char *path, const struct restore_source *source)
{
	const struct sealed_item item = {
		.view = restore->options->view,
		.parent = source->place,
		.backing = source->backing,
		.index = source->index,
		.object = source->sealed,
	};
	struct sealed_difference difference;
	int r = 0;

	if (item.view == NULL)
		return 0;
	r = sealed_compare(&item, &difference);
	if (r <= 0)
		return r;

	const struct restore_fault fault = {
		.class = difference.class,
		.text = difference.text,
		.is_left_out = difference.class != FINDING_METADATA,
	};

	(void)restore_found(restore, path, &fault);
	return fault.is_left_out ? FAILED : 0;
}

int restore_attributes(struct restore *restore, const char *path,
		       const struct restore_source *source, struct attributes *ret_attributes)
{
	const struct xattr_target target = { source->place, source->backing,
					     source->stat->st_mode };
	static const struct restore_fault fault = {
		.class = FINDING_TAMPERED,
		.text = "an extended attribute is not authentic; restored without it",
	};
	int r = 0;

	ret_attributes->stat = *source->stat;
	if (restore->options->view != NULL)
		return attributes_read_sealed(restore->options->view, source->sealed,
					      ret_attributes);
	r = attributes_read(&target, ret_attributes);
	if (r == 0 && ret_attributes->unauthentic > 0)
		(void)restore_found(restore, path, &fault);
	return r;
}

/* ---- Directories ----------------------------------------------------------------------------- */

static void directory_free(struct target_directory *target)
{
	if (target->fd >= 0)
		close(target->fd);
	pthread_mutex_destroy(&target->lock);
	attributes_free(&target->attributes);
	free(target);
}

static struct target_directory *directory_new(bool is_inside)
{
	struct target_directory *target = calloc(1, sizeof(*target));

	if (target == NULL)
		return NULL;
	pthread_mutex_init(&target->lock, NULL);
	target->fd = -1;
	target->is_inside = is_inside;
	return target;
}

/* What the filter says; *RET_IS_INSIDE for what is below. */
static enum filter_answer ask_filter(const struct restore_options *options,
				     const struct walk_directory *directory, bool *ret_is_inside)
{
	const struct target_directory *above = directory->parent == NULL ? NULL
									 : directory->parent->data;
	enum filter_answer answer = FILTER_TAKE;

	*ret_is_inside = false;
	if (above == NULL)
		return options->filter->include_count == 0 ? FILTER_TAKE : FILTER_LEAVE;
	answer = filter_ask(options->filter, directory->path, directory->name, above->is_inside);
	*ret_is_inside = answer == FILTER_TAKE && options->filter->include_count > 0;
	return answer;
}

static int take_directory(struct restore *restore, struct walk_directory *directory, bool is_wanted)
{
	const struct restore_source source = {
		.place = &directory->place,
		.backing = "",
		.stat = &directory->stat,
		.index = directory->index,
		.sealed = &directory->sealed,
	};
	struct target_directory *own = directory->data;
	int r = restore_compare(restore, directory->path, &source);

	if (r == 0)
		r = restore_attributes(restore, directory->path, &source, &own->attributes);
	if (r == 0 && is_wanted) {
		r = target_directory_fd(restore, directory);
		r = r < 0 ? r : 0;
	}
	return r;
}

static int enter(void *arg, struct walk_directory *directory)
{
	struct restore *restore = arg;
	struct target_directory *target = NULL;
	bool is_inside = false;
	const enum filter_answer answer = ask_filter(restore->options, directory, &is_inside);
	int r = 0;

	if (answer == FILTER_REFUSE)
		return 1;
	target = directory_new(is_inside);
	if (target == NULL)
		return -ENOMEM;
	directory->data = target;
	r = take_directory(restore, directory, answer == FILTER_TAKE);
	if (r == 0)
		return 0;
	directory_free(target);
	directory->data = NULL;
	return r > 0 ? r : restore_failed(restore, directory->path, r);
}

static int finish_directory(struct restore *restore, struct walk_directory *directory)
{
	const struct restore_sink *sink = restore->options->sink;
	struct target_directory *own = directory->data;
	const struct attributes_target target = {
		.fd = own->fd,
		.dir_fd = -1,
		.can_chown = restore->can_chown,
	};

	if (sink != NULL) {
		const struct sink_object object = target_sink_object(directory);

		return sink->end(sink->arg, &object, own->sink_data);
	}
	if (directory->parent == NULL) {
		restore->counts->has_times = true;
		restore->counts->times[0] = own->attributes.stat.st_atim;
		restore->counts->times[1] = own->attributes.stat.st_mtim;
	}
	return attributes_apply(&own->attributes, &target);
}

static void leave(void *arg, struct walk_directory *directory)
{
	struct restore *restore = arg;
	struct target_directory *own = directory->data;

	if (own->is_made) {
		const int r = finish_directory(restore, directory);

		/* Here nothing can be ended any more. */
		if (r < 0)
			report_failure(restore, directory->path, r, FINDING_NO_BLOCK);
	}
	directory_free(own);
}

static int visit(void *arg, const struct walk_item *item)
{
	return restore_item(arg, item);
}

/* Of a sealed snapshot it is known what should be there. */
static int failed(void *arg, struct walk_directory *directory, const char *name, int error)
{
	struct restore *restore = arg;
	const bool is_gone = error == -ENOENT;
	const struct restore_fault fault = {
		.class = is_gone ? FINDING_MISSING : FINDING_TAMPERED,
		.text = is_gone ? "it is gone, and all that was below it"
				: "something of another type is there",
		.is_left_out = true,
	};
	char buffer[WALK_PATH_SIZE];
	const char *path = name == NULL ? directory->path : walk_path(directory, name, buffer);
	int r = 0;

	if (restore->options->view != NULL &&
	    (is_gone || error == -ENOTDIR || error == -ELOOP || error == -EXDEV))
		r = restore_found(restore, path, &fault);
	else
		r = restore_failed(restore, path, error);
	return r < 0 ? r : 0;
}

static int hidden(void *arg, struct walk_directory *directory, unsigned count)
{
	struct restore *restore = arg;
	static const struct restore_fault fault = {
		.class = FINDING_TAMPERED,
		.text = "it has names that do not decrypt; what they name is left out",
	};

	atomic_fetch_add(&restore->counts->hidden, count);
	(void)restore_found(restore, directory->path, &fault);
	return 0;
}

static int walk(const struct restore_options *options, const struct walk_visitor *visitor)
{
	const struct walk_options walk_options = {
		.snapshot = options->snapshot,
		.fd = options->snapshot_fd,
		.view = options->view,
		.threads = options->threads,
	};

	return walk_snapshot(&walk_options, visitor);
}

int restore_run(const struct restore_options *options, struct restore_counts *counts)
{
	struct restore restore = {
		.options = options,
		.counts = counts,
		.can_chown = geteuid() == 0,
	};
	const struct walk_visitor visitor = {
		.enter = enter,
		.visit = visit,
		.leave = leave,
		.failed = failed,
		.hidden = hidden,
		.arg = &restore,
	};
	int r = links_create(&restore.links);

	if (r == 0)
		r = walk(options, &visitor);
	links_free(restore.links);
	return r;
}

/* ---- Counting -------------------------------------------------------------------------------- */

static int count_enter(void *arg, struct walk_directory *directory)
{
	struct restore *restore = arg;
	bool is_inside = false;
	const enum filter_answer answer = ask_filter(restore->options, directory, &is_inside);

	if (answer == FILTER_REFUSE)
		return 1;
	directory->data = directory_new(is_inside);
	if (directory->data == NULL)
		return -ENOMEM;
	if (answer == FILTER_TAKE)
		atomic_fetch_add(&restore->counts->directories, 1);
	return 0;
}

static void count_leave(void *arg, struct walk_directory *directory)
{
	(void)arg;
	directory_free(directory->data);
}

/* Of an object with several names only the first takes space. */
static int is_first(struct restore *restore, const struct walk_item *item, bool *ret_is_first)
{
	enum links_answer answer = LINKS_FIRST;
	struct link_group *group = NULL;
	struct link_waiter *waiters = NULL;
	int r = item->stat.st_nlink > 1 ? links_ask(restore->links, item, &answer, &group) : 0;

	*ret_is_first = answer == LINKS_FIRST;
	if (r == 0 && group != NULL && answer == LINKS_FIRST)
		waiters = links_finish(restore->links, group, &item->stat);
	while (waiters != NULL) {
		struct link_waiter *next = waiters->next;

		link_waiter_free(waiters);
		waiters = next;
	}
	return r;
}

static void count_file(struct restore_counts *counts, const struct walk_item *item)
{
	const uint64_t size = (uint64_t)item->stat.st_size;
	struct stat below;
	uint64_t stored = 0;

	if (fstatat(item->directory->place.fd, item->backing, &below, AT_SYMLINK_NOFOLLOW) == 0)
		stored = (uint64_t)below.st_blocks * 512;
	atomic_fetch_add(&counts->files, 1);
	atomic_fetch_add(&counts->bytes, size);
	/* A sparse file takes what it takes below, or less. */
	atomic_fetch_add(&counts->allocated, stored > 0 && stored < size ? stored : size);
}

static int count_visit(void *arg, const struct walk_item *item)
{
	struct restore *restore = arg;
	struct restore_counts *counts = restore->counts;
	const struct target_directory *above = item->directory->data;
	char path[WALK_PATH_SIZE];
	bool counts_space = false;
	int r = 0;

	walk_path(item->directory, item->name, path);
	if (filter_ask(restore->options->filter, path, item->name, above->is_inside) != FILTER_TAKE)
		return 0;
	r = is_first(restore, item, &counts_space);
	if (r < 0)
		return r;
	if (!counts_space)
		atomic_fetch_add(&counts->links, 1);
	else if (S_ISREG(item->stat.st_mode))
		count_file(counts, item);
	else
		atomic_fetch_add(S_ISLNK(item->stat.st_mode) ? &counts->symlinks : &counts->special,
				 1);
	return 0;
}

/* Met again, and reported, when it is restored. */
static int count_failed(void *arg, struct walk_directory *directory, const char *name, int error)
{
	(void)arg;
	(void)directory;
	(void)name;
	return ends_restore(error) ? error : 0;
}

static int count_hidden(void *arg, struct walk_directory *directory, unsigned count)
{
	struct restore *restore = arg;

	(void)directory;
	atomic_fetch_add(&restore->counts->hidden, count);
	return 0;
}

int restore_count(const struct restore_options *options, struct restore_counts *counts)
{
	struct restore restore = { .options = options, .counts = counts };
	const struct walk_visitor visitor = {
		.enter = count_enter,
		.visit = count_visit,
		.leave = count_leave,
		.failed = count_failed,
		.hidden = count_hidden,
		.arg = &restore,
	};
	int r = links_create(&restore.links);

	if (r == 0)
		r = walk(options, &visitor);
	links_free(restore.links);
	return r;
}
