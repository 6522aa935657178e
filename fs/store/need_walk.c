/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking what a scan looks at, with several threads.
 *
 * Directories wait in a stack that all threads share, last in, first out.  When many wait already, a thread goes down by itself,
 * so that memory stays bounded however wide a tree is.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/control.h"
#include "fs/store/need_internal.h"
#include "fs/store/xattr_stored.h"

#define THREADS_MAX 4
#define WAITING_MAX 4096

/* LEVELS: of the root's own tree, how many are above the snapshots, this one included; 0: inside a snapshot. */
struct waiting {
	struct waiting *next;
	size_t place;
	unsigned levels;
	char path[];
};

struct result {
	uint64_t fingerprint;
	uint64_t damaged;
	uint64_t unreadable;
};

/* lock guards all below it; results are by place. */
struct walk {
	struct need_scan *scan;
	bool is_directories_only;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct waiting *stack;
	size_t waiting_count;
	unsigned working;
	int error;
	struct result *results;
};

/* One thread's share. */
struct worker {
	struct walk *walk;
	struct need_reader reader;
	struct result result;
};

static int walk_directory(struct worker *worker, const struct waiting *here);

static struct waiting *new_waiting(const char *parent, const char *name, size_t place,
				   unsigned levels)
{
	const bool is_below = parent[0] != '\0' && strcmp(parent, NEED_PATH_ROOT) != 0;
	const size_t size = strlen(parent) + strlen(name) + 2;
	struct waiting *waiting = calloc(1, sizeof(*waiting) + size);

	if (!waiting)
		return NULL;
	snprintf(waiting->path, size, "%s%s%s", is_below ? parent : "", is_below ? "/" : "", name);
	waiting->place = place;
	waiting->levels = levels;
	return waiting;
}

/* Takes WAITING over. */
static int push(struct walk *walk, struct waiting *waiting)
{
	if (!waiting)
		return -ENOMEM;
	pthread_mutex_lock(&walk->lock);
	waiting->next = walk->stack;
	walk->stack = waiting;
	walk->waiting_count++;
	pthread_cond_signal(&walk->changed);
	pthread_mutex_unlock(&walk->lock);
	return 0;
}

static int go_down(struct worker *worker, const struct waiting *here, const char *name)
{
	struct walk *walk = worker->walk;
	struct waiting *child = new_waiting(here->path, name, here->place,
					    here->levels > 0 ? here->levels - 1 : 0);
	bool is_full;
	int r;

	if (!child)
		return -ENOMEM;
	pthread_mutex_lock(&walk->lock);
	is_full = walk->waiting_count >= WAITING_MAX;
	pthread_mutex_unlock(&walk->lock);
	if (!is_full)
		return push(walk, child);
	r = walk_directory(worker, child);
	free(child);
	return r;
}

/* Adding or removing an entry changes the times of its directory. */
static uint64_t mix(const struct stat *stat)
{
	const uint64_t words[] = {
		(uint64_t)stat->st_dev,         (uint64_t)stat->st_ino,
		(uint64_t)stat->st_mtim.tv_sec, (uint64_t)stat->st_mtim.tv_nsec,
		(uint64_t)stat->st_ctim.tv_sec, (uint64_t)stat->st_ctim.tv_nsec,
	};
	uint64_t mixed = 0x9e3779b97f4a7c15ULL;

	/* The finaliser of SplitMix64, over each word. */
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		mixed ^= words[i];
		mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
		mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
		mixed ^= mixed >> 31;
	}
	return mixed;
}

static bool is_reserved(const char *name)
{
	return strncmp(name, CONTROL_DIRECTORY, strlen(CONTROL_DIRECTORY)) == 0;
}

static int type_of(int fd, const struct dirent *entry, mode_t *ret_type)
{
	struct stat stat;

	if (entry->d_type != DT_UNKNOWN) {
		*ret_type = (mode_t)DTTOIF((unsigned)entry->d_type);
		return 0;
	}
	if (fstatat(fd, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*ret_type = stat.st_mode & S_IFMT;
	return 0;
}

static int walk_entry(struct worker *worker, const struct waiting *here, int fd,
		      const struct dirent *entry)
{
	const char *name = entry->d_name;
	mode_t type = 0;
	int r;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || is_reserved(name))
		return 0;
	r = type_of(fd, entry, &type);
	if (r < 0) {
		worker->reader.unreadable += r != -ENOENT;
		return 0;
	}
	if (S_ISDIR(type))
		/* Of the root's tree: the last level holds the snapshots. */
		return here->levels == 1 ? 0 : go_down(worker, here, name);
	return worker->walk->is_directories_only
		       ? 0
		       : need_read_object(&worker->reader, fd, name, type);
}

static int read_entries(struct worker *worker, const struct waiting *here, DIR *directory)
{
	int r = 0;

	while (r == 0) {
		const struct dirent *entry;

		errno = 0;
		entry = readdir(directory);
		if (!entry) {
			worker->reader.unreadable += errno != 0;
			break;
		}
		r = walk_entry(worker, here, dirfd(directory), entry);
	}
	return r;
}

static int walk_directory(struct worker *worker, const struct waiting *here)
{
	const int fd = open_beneath(worker->walk->scan->root_fd, here->path,
				    O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct stat stat;
	int r = 0;

	if (!directory) {
		const int error = fd < 0 ? fd : -errno;

		if (fd >= 0)
			close(fd);
		/* Gone, or a filesystem of its own is mounted there: nothing of this volume. */
		worker->reader.unreadable += error != -ENOENT && error != -EXDEV;
		return 0;
	}
	if (fstat(fd, &stat) < 0)
		worker->reader.unreadable++;
	else
		worker->result.fingerprint += mix(&stat);
	if (!worker->walk->is_directories_only)
		r = need_read_directory(&worker->reader, fd);
	if (r == 0)
		r = read_entries(worker, here, directory);
	closedir(directory);
	return r;
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

/* The next directory, or NULL when there is nothing left and nobody who could find more. */
static struct waiting *take(struct walk *walk)
{
	struct waiting *taken = NULL;

	pthread_mutex_lock(&walk->lock);
	while (!walk->stack && walk->working > 0 && walk->error == 0)
		pthread_cond_wait(&walk->changed, &walk->lock);
	if (walk->error == 0 && walk->stack) {
		taken = walk->stack;
		walk->stack = taken->next;
		walk->waiting_count--;
		walk->working++;
	}
	pthread_mutex_unlock(&walk->lock);
	return taken;
}

static void finish_one(struct worker *worker, size_t place, int error)
{
	struct walk *walk = worker->walk;
	struct result *result = &walk->results[place];

	pthread_mutex_lock(&walk->lock);
	result->fingerprint += worker->result.fingerprint;
	result->damaged += worker->reader.damaged;
	result->unreadable += worker->reader.unreadable;
	walk->working--;
	if (error < 0 && walk->error == 0)
		walk->error = error;
	pthread_cond_broadcast(&walk->changed);
	pthread_mutex_unlock(&walk->lock);
	worker->result = (struct result){ 0 };
	worker->reader.damaged = 0;
	worker->reader.unreadable = 0;
}

static void *work(void *arg)
{
	struct walk *walk = arg;
	struct worker worker = {
		.walk = walk,
		.reader = {
			.scan = walk->scan,
			.names = malloc(XATTR_STORED_MAX),
			.value = malloc(XATTR_STORED_MAX),
		},
	};
	const bool has_room = worker.reader.names && worker.reader.value;
	struct waiting *here;

	while ((here = take(walk))) {
		const size_t place = here->place;

		worker.reader.place = place;
		finish_one(&worker, place, has_room ? walk_directory(&worker, here) : -ENOMEM);
		free(here);
	}
	free(worker.reader.names);
	free(worker.reader.value);
	return NULL;
}

static void run_threads(struct walk *walk)
{
	pthread_t threads[THREADS_MAX];
	size_t started = 0;

	while (started < THREADS_MAX && pthread_create(&threads[started], NULL, work, walk) == 0)
		started++;
	if (started == 0)
		work(walk);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

static int push_place(struct walk *walk, size_t place)
{
	const struct need_scan *scan = walk->scan;
	const bool is_root = place == 0;
	int r = push(walk,
		     new_waiting("", scan->places[place].path, place, is_root ? scan->depth : 0));

	/* What repair has moved aside may still be wanted. */
	if (r == 0 && is_root)
		r = push(walk, new_waiting("", CONTROL_DIRECTORY "/quarantine", place, 0));
	return r;
}

static int run(struct walk *walk, const size_t *places, size_t count)
{
	int r = 0;

	pthread_mutex_init(&walk->lock, NULL);
	pthread_cond_init(&walk->changed, NULL);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = push_place(walk, places[i]);
	if (r == 0)
		run_threads(walk);
	while (walk->stack) {
		struct waiting *next = walk->stack->next;

		free(walk->stack);
		walk->stack = next;
	}
	pthread_cond_destroy(&walk->changed);
	pthread_mutex_destroy(&walk->lock);
	return r < 0 ? r : walk->error;
}

int need_walk(struct need_scan *scan, const size_t *places, size_t count)
{
	struct walk walk = {
		.scan = scan,
		.results = calloc(scan->place_count + 1, sizeof(*walk.results)),
	};
	int r = walk.results ? run(&walk, places, count) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < count; i++) {
		struct need_place *place = &scan->places[places[i]];
		const struct result *result = &walk.results[places[i]];

		place->is_walked = true;
		place->fingerprint = result->fingerprint;
		place->damaged = result->damaged;
		place->unreadable = result->unreadable;
	}
	free(walk.results);
	return r;
}

int need_walk_directories(struct need_scan *scan, size_t place, uint64_t *ret_fingerprint)
{
	struct walk walk = {
		.scan = scan,
		.is_directories_only = true,
		.results = calloc(scan->place_count + 1, sizeof(*walk.results)),
	};
	int r = walk.results ? run(&walk, &place, 1) : -ENOMEM;

	if (r == 0)
		*ret_fingerprint = walk.results[place].fingerprint;
	free(walk.results);
	return r;
}
