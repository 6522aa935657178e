/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parallel walk.
 *
 * Directories wait in a stack that all threads share.  Last in, first out keeps it small.  A thread lists its directory and
 * visits what is in it: walk_list.c.
 */
#include "fs/store/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/entry.h"
#include "fs/store/walk_internal.h"

#define THREADS_MAX 64

struct counted_directory {
	struct walk_directory public; /* first */
	atomic_uint references;
	bool is_entered;
	char text[]; /* path, backing path, backing */
};

const char *walk_path(const struct walk_directory *directory, const char *name,
		      char path[static WALK_PATH_SIZE])
{
	if (snprintf(path, WALK_PATH_SIZE, "%s%s%s", directory->path,
		     directory->path[0] == '\0' ? "" : "/", name) < 0)
		path[0] = '\0';
	return path;
}

bool walk_has_ended(struct walk *walk)
{
	return atomic_load(&walk->error) != 0;
}

static void end(struct walk *walk, int error)
{
	int none = 0;

	atomic_compare_exchange_strong(&walk->error, &none, error);
}

struct sealed_view *walk_view(const struct walk *walk)
{
	return walk->view;
}

/* ---- Directories ----------------------------------------------------------------------------- */

struct walk_directory *walk_directory_ref(struct walk_directory *directory)
{
	atomic_fetch_add(&((struct counted_directory *)directory)->references, 1);
	return directory;
}

void walk_directory_put(struct walk_directory *directory)
{
	/* A directory's last reference gives back one of its parent's. */
	while (directory) {
		struct counted_directory *counted = (struct counted_directory *)directory;
		struct walk_directory *parent = directory->parent;
		const struct walk_visitor *visitor = directory->walk->visitor;

		if (atomic_fetch_sub(&counted->references, 1) != 1)
			return;
		if (counted->is_entered)
			visitor->leave(visitor->arg, directory);
		if (directory->place.fd >= 0)
			close(directory->place.fd);
		free(counted);
		directory = parent;
	}
}

static struct counted_directory *directory_new(struct walk *walk, const char *path,
					       const char *backing_path, const char *backing)
{
	const size_t path_size = strlen(path) + 1;
	const size_t backing_path_size = strlen(backing_path) + 1;
	struct counted_directory *directory =
		calloc(1, sizeof(*directory) + path_size + backing_path_size + strlen(backing) + 1);
	const char *slash;

	if (!directory)
		return NULL;
	atomic_init(&directory->references, 1);
	directory->public.walk = walk;
	directory->public.path = strcpy(directory->text, path);
	directory->public.backing = strcpy(directory->text + path_size + backing_path_size,
					   backing);
	slash = strrchr(directory->text, '/');
	directory->public.name = slash ? slash + 1 : directory->text;
	directory->public.place = (struct place){
		.store = walk->store,
		.snapshot = walk->snapshot,
		.fd = -1,
		.path = strcpy(directory->text + path_size, backing_path),
	};
	return directory;
}

struct walk_directory *walk_directory_below(struct walk_directory *parent, const char *name,
					    const char *backing)
{
	char path[WALK_PATH_SIZE];
	char backing_path[PATH_MAX];
	struct counted_directory *directory;
	const int size = snprintf(backing_path, sizeof(backing_path), "%s%s%s", parent->place.path,
				  parent->place.path[0] == '\0' ? "" : "/", backing);

	/* Too long for a path: cut, as it is for messages and hints only. */
	if (size < 0)
		return NULL;
	directory = directory_new(parent->walk, walk_path(parent, name, path), backing_path,
				  backing);
	if (!directory)
		return NULL;
	directory->public.parent = walk_directory_ref(parent);
	directory->public.place.depth = parent->place.depth + 1;
	return &directory->public;
}

/* ---- Tasks ----------------------------------------------------------------------------------- */

static void push(struct walk *walk, struct task *task)
{
	pthread_mutex_lock(&walk->lock);
	if (task->run) {
		task->next = walk->invitations;
		walk->invitations = task;
	} else {
		task->next = walk->stack;
		walk->stack = task;
	}
	pthread_cond_signal(&walk->changed);
	pthread_mutex_unlock(&walk->lock);
}

int walk_push(struct walk *walk, const struct task *template)
{
	struct task *task = malloc(sizeof(*task));

	if (!task)
		return -ENOMEM;
	*task = *template;
	push(walk, task);
	return 0;
}

bool walk_invite(struct walk *walk, void (*run)(void *arg), void (*done)(void *arg), void *arg)
{
	struct task *task = calloc(1, sizeof(*task));

	if (!task)
		return false;
	*task = (struct task){ .run = run, .done = done, .arg = arg };
	push(walk, task);
	return true;
}

unsigned walk_helpers(const struct walk *walk)
{
	return walk->thread_count - 1;
}

static int open_directory(struct walk_directory *directory)
{
	int fd;

	if (directory->place.fd >= 0)
		return 0;
	fd = open_beneath(directory->parent->place.fd, directory->backing,
			  O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	directory->place.fd = fd;
	return 0;
}

static int walk_one(struct walk_directory *directory)
{
	struct counted_directory *counted = (struct counted_directory *)directory;
	const struct walk_visitor *visitor = directory->walk->visitor;
	int r = open_directory(directory);

	/* Without a parent it is the first, and open. */
	if (r < 0)
		return walk_report(directory->parent, directory->name, r);
	r = visitor->enter(visitor->arg, directory);
	if (r != 0)
		return r < 0 ? r : 0;
	counted->is_entered = true;
	return walk_list(directory);
}

/* ---- Threads --------------------------------------------------------------------------------- */

/* Under the lock: what to do next; NULL: all is done. */
static struct task *next_task(struct walk *walk)
{
	while (!walk->invitations && !walk->stack && walk->working > 0) {
		atomic_fetch_add(&walk->waiting, 1);
		pthread_cond_wait(&walk->changed, &walk->lock);
		atomic_fetch_sub(&walk->waiting, 1);
	}

	struct task **list = walk->invitations ? &walk->invitations : &walk->stack;
	struct task *task = *list;

	if (task)
		*list = task->next;
	return task;
}

static int run_directory(const struct task *task)
{
	if (task->batch)
		return walk_visit_batch(task->directory, task->batch);
	if (task->count > 0)
		return walk_visit_range(task->directory, task->first, task->count);
	return walk_one(task->directory);
}

static void run_task(struct walk *walk, struct task *task)
{
	const bool is_wanted = !walk_has_ended(walk);
	int r = 0;

	if (task->run) {
		if (is_wanted)
			task->run(task->arg);
		task->done(task->arg);
	} else {
		if (is_wanted)
			r = run_directory(task);
		walk_directory_put(task->directory);
	}
	if (r < 0)
		end(walk, r);
	free(task->batch);
	free(task);
}

static void *work(void *arg)
{
	struct walk *walk = arg;
	struct task *task;

	pthread_mutex_lock(&walk->lock);
	while ((task = next_task(walk))) {
		walk->working++;
		pthread_mutex_unlock(&walk->lock);
		run_task(walk, task);
		pthread_mutex_lock(&walk->lock);
		walk->working--;
	}
	pthread_cond_broadcast(&walk->changed);
	pthread_mutex_unlock(&walk->lock);
	return NULL;
}

static int stat_first(struct walk_directory *first)
{
	struct sealed_view *view = first->walk->view;
	int r;

	if (!view)
		return entry_stat(&first->place, "", &first->stat);
	first->index = SEALED_ROOT;
	r = sealed_object(view, SEALED_ROOT, &first->sealed);
	if (r == 0)
		sealed_stat(view, SEALED_ROOT, &first->sealed, &first->stat);
	return r;
}

static int push_first(struct walk *walk, int fd)
{
	const bool is_root = snapshot_kind(walk->snapshot) == SNAPSHOT_ROOT;
	const char *name = is_root ? "" : snapshot_name(walk->snapshot);
	struct counted_directory *first = directory_new(walk, "", name, "");
	int r = first ? 0 : -ENOMEM;

	if (r < 0)
		return r;
	first->public.place.depth = is_root ? 0 : store_volume(walk->store)->snapshot_depth;
	first->public.place.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (first->public.place.fd < 0)
		r = -errno;
	if (r == 0)
		r = stat_first(&first->public);
	if (r == 0)
		r = walk_push(walk, &(struct task){ .directory = &first->public });
	if (r < 0)
		walk_directory_put(&first->public);
	return r;
}

int walk_snapshot(const struct walk_options *options, const struct walk_visitor *visitor)
{
	const unsigned threads = options->threads;
	struct walk walk = {
		.visitor = visitor,
		.snapshot = options->snapshot,
		.store = snapshot_store(options->snapshot),
		.view = options->view,
		.thread_count = threads < 1             ? 1
				: threads > THREADS_MAX ? THREADS_MAX
							: threads,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	pthread_t others[THREADS_MAX];
	unsigned started = 0;
	int r = push_first(&walk, options->fd);

	if (r < 0)
		return r;
	while (started + 1 < walk.thread_count &&
	       pthread_create(&others[started], NULL, work, &walk) == 0)
		started++;
	work(&walk);
	for (unsigned i = 0; i < started; i++)
		pthread_join(others[i], NULL);
	return atomic_load(&walk.error);
}
