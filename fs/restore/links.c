/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of hard links while they are restored. */
#include "fs/restore/links.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

#include "fs/store/beneath.h"

struct link_key {
	uint64_t device;
	uint64_t inode;
};

struct link_group {
	struct link_key key;
	bool is_done;
	bool is_failed;
	dev_t device; /* of the restored object */
	ino_t inode;
	struct link_waiter *waiters;
	UT_hash_handle hh;
	char path[]; /* of the first name, below the target */
};

struct links {
	pthread_mutex_t lock; /* guards all groups */
	struct link_group *groups;
};

int links_create(struct links **ret_links)
{
	struct links *links = calloc(1, sizeof(*links));

	if (links == NULL)
		return -ENOMEM;
	pthread_mutex_init(&links->lock, NULL);
	*ret_links = links;
	return 0;
}

void link_waiter_free(struct link_waiter *waiter)
{
	walk_directory_put(waiter->directory);
	free(waiter);
}

void links_free(struct links *links)
{
	struct link_group *group;
	struct link_group *next;

	if (links == NULL)
		return;
	HASH_ITER (hh, links->groups, group, next) {
		HASH_DEL(links->groups, group);
		free(group);
	}
	pthread_mutex_destroy(&links->lock);
	free(links);
}

static struct link_group *group_new(const struct link_key *key, const struct walk_item *item)
{
	char path[WALK_PATH_SIZE];
	const size_t size = strlen(walk_path(item->directory, item->name, path)) + 1;
	struct link_group *group = calloc(1, sizeof(*group) + size);

	if (group != NULL) {
		group->key = *key;
		memcpy(group->path, path, size);
	}
	return group;
}

static int wait_in(struct link_group *group, const struct walk_item *item)
{
	const size_t size = strlen(item->name) + 1;
	struct link_waiter *waiter = malloc(sizeof(*waiter) + size);

	if (waiter == NULL)
		return -ENOMEM;
	memcpy(waiter->name, item->name, size);
	waiter->directory = walk_directory_ref(item->directory);
	waiter->next = group->waiters;
	group->waiters = waiter;
	return 0;
}

static int ask(struct links *links, const struct link_key *key, const struct walk_item *item,
	       enum links_answer *ret_answer, struct link_group **ret_group)
{
	struct link_group *group = NULL;

	HASH_FIND(hh, links->groups, key, sizeof(*key), group);
	if (group == NULL) {
		group = group_new(key, item);
		if (group == NULL)
			return -ENOMEM;
		HASH_ADD(hh, links->groups, key, sizeof(group->key), group);
		*ret_answer = LINKS_FIRST;
	} else if (group->is_failed) {
		*ret_answer = LINKS_FAILED;
	} else if (group->is_done) {
		*ret_answer = LINKS_READY;
	} else {
		*ret_answer = LINKS_WAITS;
	}
	*ret_group = group;
	return *ret_answer == LINKS_WAITS ? wait_in(group, item) : 0;
}

int links_ask(struct links *links, const struct walk_item *item, enum links_answer *ret_answer,
	      struct link_group **ret_group)
{
	const struct link_key key = { item->stat.st_dev, item->stat.st_ino };
	int r = 0;

	pthread_mutex_lock(&links->lock);
	r = ask(links, &key, item, ret_answer, ret_group);
	pthread_mutex_unlock(&links->lock);
	return r;
}

struct link_waiter *links_finish(struct links *links, struct link_group *group,
				 const struct stat *stat)
{
	struct link_waiter *waiters = NULL;

	pthread_mutex_lock(&links->lock);
	if (stat != NULL) {
		group->device = stat->st_dev;
		group->inode = stat->st_ino;
		group->is_done = true;
	} else {
		group->is_failed = true;
	}
	waiters = TAKE(group->waiters);
	pthread_mutex_unlock(&links->lock);
	return waiters;
}

const char *links_path(const struct link_group *group)
{
	return group->path;
}

bool links_is_same(const struct link_group *group, const struct stat *stat)
{
	return stat->st_dev == group->device && stat->st_ino == group->inode;
}

int links_make(const struct link_group *group, int root_fd, int dir_fd, const char *name)
{
	char self[64];
	struct stat stat;
	const int fd = open_beneath(root_fd, group->path, O_PATH | O_NOFOLLOW, 0);
	int r;

	if (fd < 0)
		return fd;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	/* By descriptor: whoever can write to the target may have put something else at the path. */
	r = fstat(fd, &stat) < 0 ? -errno : 0;
	if (r == 0 && !links_is_same(group, &stat))
		r = -ESTALE;
	if (r == 0)
		r = linkat(AT_FDCWD, self, dir_fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
	close(fd);
	return r;
}
