/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting what a snapshot holds.
 *
 * Directories wait in a stack of paths that all threads share; a thread takes one, counts its
 * files, and puts back its subdirectories.  Last in, first out keeps the stack small.
 */
#include "fs/cmd/usage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS_MAX      4
#define LONG_NAME_LENGTH 44 /* "=" and 43 characters: meta/FORMAT.md, "Names" */

struct waiting {
	struct waiting *next;
	unsigned depth;
	char path[];
};

/* lock guards all below it. */
struct walk {
	int root_fd;
	const struct usage_options *options;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct waiting *stack;
	unsigned working;
	int error;
	struct usage total;
};

static int push(struct walk *walk, const char *parent, const char *name, unsigned depth)
{
	const size_t parent_length = strlen(parent);
	const size_t name_length = strlen(name);
	struct waiting *waiting = malloc(sizeof(*waiting) + parent_length + name_length + 2);

	if (waiting == NULL)
		return -ENOMEM;
	memcpy(waiting->path, parent, parent_length);
	waiting->path[parent_length] = '/';
	memcpy(waiting->path + parent_length + 1, name, name_length + 1);
	waiting->depth = depth;
	pthread_mutex_lock(&walk->lock);
	waiting->next = walk->stack;
	walk->stack = waiting;
	pthread_cond_signal(&walk->changed);
	pthread_mutex_unlock(&walk->lock);
	return 0;
}

static bool is_hidden(const struct walk *walk, const char *name)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
	    strncmp(name, ".snapcrypt", strlen(".snapcrypt")) == 0)
		return true;
	return walk->options->has_sidecars && name[0] == '=' &&
	       strlen(name) == LONG_NAME_LENGTH + strlen(".name") &&
	       strcmp(name + LONG_NAME_LENGTH, ".name") == 0;
}

static void count_file(const struct walk *walk, const struct stat *stat, struct usage *usage)
{
	bool is_terminated = false;

	usage->files++;
	usage->bytes += walk->options->layout == NULL
				? (uint64_t)stat->st_size
				: layout_plain_size(walk->options->layout, (uint64_t)stat->st_size,
						    &is_terminated);
}

static int count_entry(struct walk *walk, const struct waiting *here, int fd, const char *name,
		       struct usage *usage)
{
	struct stat stat;

	if (is_hidden(walk, name))
		return 0;
	if (fstatat(fd, name, &stat, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISREG(stat.st_mode))
		count_file(walk, &stat, usage);
	if (!S_ISDIR(stat.st_mode) ||
	    (walk->options->skip_depth != 0 && here->depth + 1 == walk->options->skip_depth))
		return 0;
	return push(walk, here->path, name, here->depth + 1);
}

static int count_directory(struct walk *walk, const struct waiting *here, struct usage *usage)
{
	const int fd = openat(walk->root_fd, here->path,
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry = NULL;
	int r = 0;

	if (directory == NULL) {
		const int error = -errno;

		if (fd >= 0)
			close(fd);
		return error == -ENOENT ? 0 : error;
	}
	while (r == 0 && (entry = readdir(directory)) != NULL)
		r = count_entry(walk, here, fd, entry->d_name, usage);
	closedir(directory);
	return r;
}

/* The next directory, or NULL when there is nothing left and nobody who could find more. */
static struct waiting *take(struct walk *walk)
{
	struct waiting *taken = NULL;

	pthread_mutex_lock(&walk->lock);
	while (walk->stack == NULL && walk->working > 0 && walk->error == 0)
		pthread_cond_wait(&walk->changed, &walk->lock);
	if (walk->error == 0 && walk->stack != NULL) {
		taken = walk->stack;
		walk->stack = taken->next;
		walk->working++;
	}
	pthread_mutex_unlock(&walk->lock);
	return taken;
}

static void *walk_main(void *arg)
{
	struct walk *walk = arg;
	struct waiting *here = NULL;

	while ((here = take(walk)) != NULL) {
		struct usage usage = { 0 };
		const int r = count_directory(walk, here, &usage);

		free(here);
		pthread_mutex_lock(&walk->lock);
		walk->total.bytes += usage.bytes;
		walk->total.files += usage.files;
		walk->working--;
		if (r < 0 && walk->error == 0)
			walk->error = r;
		pthread_cond_broadcast(&walk->changed);
		pthread_mutex_unlock(&walk->lock);
	}
	return NULL;
}

int usage_count(int fd, const struct usage_options *options, struct usage *ret_usage)
{
	struct walk walk = { .root_fd = fd, .options = options };
	pthread_t threads[THREADS_MAX];
	size_t started = 0;
	int r = 0;

	pthread_mutex_init(&walk.lock, NULL);
	pthread_cond_init(&walk.changed, NULL);
	r = push(&walk, ".", ".", 0);
	while (r == 0 && started < THREADS_MAX &&
	       pthread_create(&threads[started], NULL, walk_main, &walk) == 0)
		started++;
	if (r == 0 && started == 0)
		walk_main(&walk);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	while (walk.stack != NULL) {
		struct waiting *next = walk.stack->next;

		free(walk.stack);
		walk.stack = next;
	}
	pthread_cond_destroy(&walk.changed);
	pthread_mutex_destroy(&walk.lock);
	if (r < 0 || walk.error < 0)
		return r < 0 ? r : walk.error;
	*ret_usage = walk.total;
	return 0;
}
