/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hard links of what is restored: the first name of an object is restored, the others become links of it.  Thread-safe.
 */
#ifndef SNAPCRYPT_FS_RESTORE_LINKS_H
#define SNAPCRYPT_FS_RESTORE_LINKS_H

#include <stdbool.h>
#include <sys/stat.h>

#include "fs/store/walk.h"
#include "meta/macros.h"

struct links;
struct link_group;

/* A name that waits for the first one. */
struct link_waiter {
	struct link_waiter *next;
	struct walk_directory *directory; /* a reference */
	char name[];
};

MUST_CHECK int links_create(struct links **ret_links);
void links_free(struct links *links);

enum links_answer {
	LINKS_FIRST,  /* restore it, then call links_finish() */
	LINKS_WAITS,  /* whoever restores the first one goes on with this one */
	LINKS_READY,  /* link it to links_path() */
	LINKS_FAILED, /* the first one could not be restored */
};

/* Which object: device and inode below. */
MUST_CHECK int links_ask(struct links *links, const struct walk_item *item,
			 enum links_answer *ret_answer, struct link_group **ret_group);

/* The first one is there as STAT, or (NULL) is not: the names that have waited, for the caller to free. */
struct link_waiter *links_finish(struct links *links, struct link_group *group,
				 const struct stat *stat);
void link_waiter_free(struct link_waiter *waiter);

/* Of the group's first name, below the snapshot. */
const char *links_path(const struct link_group *group);

/* Make NAME in DIR_FD a link of the group's first name, below ROOT_FD; -ESTALE: another object is there. */
MUST_CHECK int links_make(const struct link_group *group, int root_fd, int dir_fd,
			  const char *name);
/* Is the object of STAT the group's? */
bool links_is_same(const struct link_group *group, const struct stat *stat);

#endif
