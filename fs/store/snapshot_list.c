/* SPDX-License-Identifier: Apache-2.0 */
/* Every snapshot of a volume. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/snapshot_internal.h"

struct listing {
	struct store *store;
	int (*visit)(void *arg, struct snapshot *snapshot, int fd);
	void *arg;
};

static int visit_directory(void *arg, int parent_fd, const char *name, const char *path)
{
	const struct listing *listing = arg;
	struct snapshot *snapshot = NULL;
	int fd = open_beneath(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	int r;

	/* Gone since it was listed, or a filesystem of its own is mounted there. */
	if (fd == -ENOENT || fd == -EXDEV)
		return 0;
	if (fd < 0) {
		store_report(listing->store, LOG_ERR, path, "cannot be opened: %s", strerror(-fd));
		return fd;
	}
	r = snapshot_open(listing->store, fd, path, &snapshot);
	if (r == 0)
		r = listing->visit(listing->arg, snapshot, fd);
	snapshot_put(snapshot);
	close(fd);
	return r;
}

int snapshot_each(struct store *store, int (*visit)(void *arg, struct snapshot *snapshot, int fd),
		  void *arg)
{
	struct listing listing = { .store = store, .visit = visit, .arg = arg };

	return snapshot_walk(store, visit_directory, &listing);
}
