/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parallel walk.
 *
 * Directories wait in a stack that all threads share.  Last in, first out keeps it small.  A thread lists its directory and
 * visits what is in it; whenever another thread has nothing to do, a batch of entries goes to the stack instead, so that one
 * directory of many files keeps all of them busy.
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

#define THREADS_MAX     64
#define BATCH_ENTRIES   64
#define BATCH_NAMES_MAX 16384

struct counted_directory {
	struct walk_directory public; /* first */
	atomic_uint references;
	bool is_entered;
	char text[]; /* path, backing path, backing */
};

/* Entries of one directory: their names and backing names, each with its NUL. */
struct batch {
	unsigned count;
	size_t used;
	char names[BATCH_NAMES_MAX];
};

/*
 * DIRECTORY alone: to be listed.  With BATCH: entries of it.  With COUNT: so many entries of it from FIRST on in the manifest.
 * With RUN: an invitation.
 */
struct task {
	struct task *next;
	struct walk_directory *directory;
	struct batch *batch;
	uint64_t first;
	uint64_t count;
	void (*run)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

struct walk {
	const struct walk_visitor *visitor;
	struct snapshot *snapshot;
	struct store *store;
	struct sealed_view *view;
	unsigned thread_count;
	atomic_int error;
	atomic_uint waiting;

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	struct task *invitations;
	struct task *stack;
	unsigned working;
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

static struct walk_directory *directory_below(struct walk_directory *parent, const char *name,
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

/* Takes over the directory's reference and the batch of TEMPLATE. */
static int push_directory(struct walk *walk, const struct task *template)
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

/* ---- One directory --------------------------------------------------------------------------- */

static int report(struct walk_directory *directory, const char *name, int error)
{
	const struct walk_visitor *visitor = directory->walk->visitor;

	return visitor->failed(visitor->arg, directory, name, error);
}

static bool is_other_snapshot(const struct walk_directory *directory, mode_t mode)
{
	return S_ISDIR(mode) &&
	       directory->place.depth + 1 == store_volume(directory->place.store)->snapshot_depth;
}

/* To be listed later, as it is a directory. */
static int push_below(struct walk_directory *directory, const struct walk_item *item)
{
	struct walk_directory *below = directory_below(directory, item->name, item->backing);
	int r;

	if (!below)
		return -ENOMEM;
	below->stat = item->stat;
	below->index = item->index;
	below->sealed = item->sealed;
	r = push_directory(directory->walk, &(struct task){ .directory = below });
	if (r < 0)
		walk_directory_put(below);
	return r;
}

static int visit_entry(struct walk_directory *directory, const char *name, const char *backing)
{
	const struct walk_visitor *visitor = directory->walk->visitor;
	struct walk_item item = { .directory = directory, .name = name, .backing = backing };
	int r = entry_stat(&directory->place, backing, &item.stat);

	if (r < 0)
		return r == -ENOENT ? 0 : report(directory, name, r);
	if (is_other_snapshot(directory, item.stat.st_mode))
		return 0;
	return S_ISDIR(item.stat.st_mode) ? push_below(directory, &item)
					  : visitor->visit(visitor->arg, &item);
}

static int visit_batch(struct walk_directory *directory, const struct batch *batch)
{
	const char *at = batch->names;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < batch->count; i++) {
		const char *name = at;
		const char *backing = name + strlen(name) + 1;

		at = backing + strlen(backing) + 1;
		r = walk_has_ended(directory->walk) ? -ECANCELED
						    : visit_entry(directory, name, backing);
	}
	return r;
}

static void batch_add(struct batch *batch, const struct entry *entry)
{
	const size_t name_size = strlen(entry->name) + 1;
	const size_t backing_size = strlen(entry->backing) + 1;

	memcpy(batch->names + batch->used, entry->name, name_size);
	memcpy(batch->names + batch->used + name_size, entry->backing, backing_size);
	batch->used += name_size + backing_size;
	batch->count++;
}

static bool batch_is_full(const struct batch *batch)
{
	return batch->count == BATCH_ENTRIES || batch->used > BATCH_NAMES_MAX - 2 * 256;
}

/* Give the batch to a thread that waits, or visit it here.  *BATCH is empty afterwards. */
static int pass_batch(struct walk_directory *directory, struct batch **batch)
{
	struct walk *walk = directory->walk;
	struct batch *next = atomic_load(&walk->waiting) > 0 ? malloc(sizeof(*next)) : NULL;
	int r;

	if (next) {
		r = push_directory(walk, &(struct task){ .directory = walk_directory_ref(directory),
							 .batch = *batch });
		if (r < 0) {
			walk_directory_put(directory);
			free(next);
			return r;
		}
		*batch = next;
	} else {
		r = visit_batch(directory, *batch);
	}
	(*batch)->count = 0;
	(*batch)->used = 0;
	return r;
}

static int list(struct walk_directory *directory, struct entry_list *entries, struct batch **batch)
{
	const struct walk_visitor *visitor = directory->walk->visitor;
	struct entry entry;
	int r;

	while ((r = entry_list_next(entries, &entry)) > 0) {
		if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
			continue;
		batch_add(*batch, &entry);
		if (batch_is_full(*batch))
			r = pass_batch(directory, batch);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return report(directory, NULL, r);
	if (entry_list_hidden(entries) > 0)
		r = visitor->hidden(visitor->arg, directory, entry_list_hidden(entries));
	return r < 0 || (*batch)->count == 0 ? r : visit_batch(directory, *batch);
}

/* ---- One directory of a sealed snapshot ------------------------------------------------------ */

static int visit_sealed(struct walk_directory *directory, uint64_t place)
{
	struct walk *walk = directory->walk;
	struct sealed_entry entry;
	struct backing_name backing;
	struct walk_item item = { .directory = directory, .name = entry.name };
	int r = sealed_entry_at(walk->view, &directory->sealed, place, &entry);

	if (r == 0)
		r = sealed_object(walk->view, entry.object, &item.sealed);
	if (r < 0)
		return report(directory, NULL, r);
	r = name_encode(&directory->place, entry.name, &backing);
	if (r < 0)
		return report(directory, entry.name, r);
	item.backing = backing.text;
	item.index = entry.object;
	sealed_stat(walk->view, entry.object, &item.sealed, &item.stat);
	return S_ISDIR(item.stat.st_mode) ? push_below(directory, &item)
					  : walk->visitor->visit(walk->visitor->arg, &item);
}

static int visit_range(struct walk_directory *directory, uint64_t first, uint64_t count)
{
	int r = 0;

	for (uint64_t i = 0; r == 0 && i < count; i++)
		r = walk_has_ended(directory->walk) ? -ECANCELED
						    : visit_sealed(directory, first + i);
	return r;
}

/* Give the range to a thread that waits, or visit it here. */
static int pass_range(struct walk_directory *directory, uint64_t first, uint64_t count)
{
	int r;

	if (atomic_load(&directory->walk->waiting) == 0)
		return visit_range(directory, first, count);
	r = push_directory(directory->walk,
			   &(struct task){ .directory = walk_directory_ref(directory),
					   .first = first,
					   .count = count });
	if (r < 0)
		walk_directory_put(directory);
	return r;
}

static int walk_sealed(struct walk_directory *directory)
{
	uint64_t count = 0;
	int r = sealed_entry_count(directory->walk->view, &directory->sealed, &count);

	if (r < 0)
		return report(directory, NULL, r);
	for (uint64_t first = 0; r == 0 && first < count; first += BATCH_ENTRIES)
		r = pass_range(directory, first,
			       count - first < BATCH_ENTRIES ? count - first : BATCH_ENTRIES);
	return r;
}

static int walk_entries(struct walk_directory *directory)
{
	struct entry_list *entries = NULL;
	struct batch *batch;
	int r = entry_list_open(&directory->place, &entries);

	if (r < 0)
		return report(directory, NULL, r);
	batch = malloc(sizeof(*batch));
	if (!batch) {
		entry_list_close(entries);
		return -ENOMEM;
	}
	batch->count = 0;
	batch->used = 0;
	r = list(directory, entries, &batch);
	free(batch);
	entry_list_close(entries);
	return r;
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
		return report(directory->parent, directory->name, r);
	r = visitor->enter(visitor->arg, directory);
	if (r != 0)
		return r < 0 ? r : 0;
	counted->is_entered = true;
	return directory->walk->view ? walk_sealed(directory) : walk_entries(directory);
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
		return visit_batch(task->directory, task->batch);
	if (task->count > 0)
		return visit_range(task->directory, task->first, task->count);
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
		r = push_directory(walk, &(struct task){ .directory = &first->public });
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
