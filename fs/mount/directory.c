/* SPDX-License-Identifier: Apache-2.0 */
/* Opened backing directories under a budget. */
#include "fs/mount/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/mount/attr.h"
#include "fs/store/adopt.h"
#include "fs/store/beneath.h"
#include "fs/store/name.h"
#include "fs/store/sealed_view.h"
#include "meta/records/volume_record.h"

/* In the list of idle ones while pins is 0 and a descriptor is open. */
struct directory {
	struct node *node;
	struct directory *older;
	struct directory *newer;
	struct snapshot *snapshot;
	char *path;
	unsigned path_age;
	unsigned depth;
	unsigned pins;
	unsigned adoptions; /* when the snapshot was looked at */
	int fd;             /* -1: closed, only a snapshot is kept */
};

struct directories {
	pthread_mutex_t lock;
	struct nodes *nodes;
	struct place root;
	unsigned snapshot_depth;
	struct directory *oldest;
	struct directory *newest;
	size_t open;
	size_t idle;
	size_t budget;
	unsigned age; /* of paths: grows when a directory is renamed */
};

static void unlink_idle(struct directories *directories, struct directory *directory)
{
	*(directory->older ? &directory->older->newer : &directories->oldest) = directory->newer;
	*(directory->newer ? &directory->newer->older : &directories->newest) = directory->older;
	directory->older = NULL;
	directory->newer = NULL;
	directories->idle--;
}

static void link_idle(struct directories *directories, struct directory *directory)
{
	directory->older = directories->newest;
	*(directories->newest ? &directories->newest->newer : &directories->oldest) = directory;
	directories->newest = directory;
	directories->idle++;
}

static bool is_snapshot(const struct directories *directories, const struct directory *directory)
{
	return directory->depth == directories->snapshot_depth;
}

static void directory_free(struct directory *directory)
{
	if (!directory)
		return;
	if (directory->fd >= 0)
		close(directory->fd);
	snapshot_put(directory->snapshot);
	free(directory->path);
	free(directory);
}

/* Close the descriptor of an idle directory that is not in the list; keep what is needed of a snapshot. */
static void close_idle(struct directories *directories, struct directory *directory)
{
	directories->open--;
	close(directory->fd);
	directory->fd = -1;
	if (is_snapshot(directories, directory))
		return;
	directory->node->directory = NULL;
	directory_free(directory);
}

static void keep_within_budget(struct directories *directories)
{
	while (directories->idle > directories->budget) {
		struct directory *directory = directories->oldest;

		unlink_idle(directories, directory);
		close_idle(directories, directory);
	}
}

int directories_create(struct nodes *nodes, const struct place *root, size_t budget,
		       struct directories **ret_directories)
{
	struct directories *directories = calloc(1, sizeof(*directories));
	struct directory *directory = calloc(1, sizeof(*directory));
	struct node *node = nodes_find(nodes, 1);
	char *path = strdup(root->path);

	if (!directories || !directory || !path) {
		free(directories);
		free(directory);
		free(path);
		return -ENOMEM;
	}
	pthread_mutex_init(&directories->lock, NULL);
	directories->nodes = nodes;
	directories->root = *root;
	directories->root.path = path;
	directories->snapshot_depth = store_volume(root->store)->snapshot_depth;
	directories->budget = budget;
	directories->open = 1;
	directory->node = node;
	directory->snapshot = root->snapshot;
	directory->depth = root->depth;
	directory->path = strdup(root->path);
	directory->fd = root->fd;
	directory->pins = 1;
	node->directory = directory;
	*ret_directories = directories;
	return 0;
}

void directories_free(struct directories *directories)
{
	if (!directories)
		return;
	pthread_mutex_destroy(&directories->lock);
	free((char *)(uintptr_t)directories->root.path);
	free(directories);
}

/* The path below the volume's root, from that below the mount's root. */
static int set_path(struct directories *directories, struct directory *directory)
{
	unsigned depth = 0;
	char *below = nodes_path(directories->nodes, directory->node, NULL, &depth);
	const char *root = directories->root.path;
	char *path = NULL;

	if (!below)
		return -ENOENT;
	if (asprintf(&path, "%s%s%s", root, *root && *below ? "/" : "", below) < 0)
		path = NULL;
	free(below);
	if (!path)
		return -ENOMEM;
	free(directory->path);
	directory->path = path;
	directory->path_age = directories->age;
	directory->depth = directories->root.depth + depth;
	return 0;
}

static void fill_place(const struct directories *directories, const struct directory *directory,
		       struct place *ret_place)
{
	*ret_place = (struct place){
		.store = directories->root.store,
		.snapshot = directory->snapshot,
		.fd = directory->fd,
		.depth = directory->depth,
		.path = directory->path,
	};
}

/* What was foreign when it was opened may have been adopted since. */
static bool is_outdated(const struct directories *directories, const struct directory *directory)
{
	return directory->pins == 0 && is_snapshot(directories, directory) &&
	       snapshot_state(directory->snapshot) == SNAPSHOT_FOREIGN &&
	       directory->adoptions != snapshot_adoptions(directories->root.store);
}

/* Pin an open directory.  -EUNATCH: it is not open. */
static int pin_open(struct directories *directories, struct node *node, struct place *ret_place)
{
	struct directory *directory = node->directory;
	int r = 0;

	if (directory && is_outdated(directories, directory)) {
		if (directory->fd >= 0) {
			unlink_idle(directories, directory);
			close_idle(directories, directory);
		}
		node->directory = NULL;
		directory_free(directory);
		directory = NULL;
	}
	if (!directory || directory->fd < 0)
		return -EUNATCH;
	if (directory->path_age != directories->age)
		r = set_path(directories, directory);
	if (r < 0)
		return r;
	if (!directory->pins++)
		unlink_idle(directories, directory);
	fill_place(directories, directory, ret_place);
	return 0;
}

static int open_verified(const struct place *parent, const char *backing, const struct node *node,
			 int *ret_fd)
{
	int fd = openat(parent->fd, backing, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct attr attr;

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? -ESTALE : -errno;

	int r = attr_read_fd(fd, &attr);

	if (r == 0 && (attr.identity.inode != node->identity.inode ||
		       attr.identity.birth_ns != node->identity.birth_ns))
		r = -ESTALE;
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* In a sealed snapshot what is in a directory is compared with the manifest, not the directory itself. */
static int open_sealed(const struct place *parent, const char *name, int *ret_fd)
{
	struct backing_name backing;
	int r = name_encode(parent, name, &backing);

	if (r == 0)
		r = open_beneath(parent->fd, backing.text, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (r < 0)
		return r == -ENOTDIR || r == -ELOOP || r == -EXDEV ? -EBADMSG : r;
	*ret_fd = r;
	return 0;
}

static int open_node(const struct place *parent, const char *name, const struct node *node,
		     int *ret_fd)
{
	return node_has(node, NODE_IS_SEALED) ? open_sealed(parent, name, ret_fd)
					      : open_verified(parent, name, node, ret_fd);
}

/* Open NODE below PARENT; the result is not yet known to anybody. */
static int open_below(struct directories *directories, struct node *node,
		      const struct place *parent, const char *backing,
		      struct directory **ret_directory)
{
	struct directory *directory = calloc(1, sizeof(*directory));

	if (!directory)
		return -ENOMEM;
	directory->node = node;
	directory->fd = -1;
	directory->path_age = directories->age;
	directory->depth = parent->depth + 1;

	int r = asprintf(&directory->path, "%s%s%s", parent->path, *parent->path ? "/" : "",
			 backing);

	if (r < 0)
		directory->path = NULL;
	directory->adoptions = snapshot_adoptions(parent->store);
	r = r < 0 ? -ENOMEM : open_node(parent, backing, node, &directory->fd);
	if (r == 0 && directory->depth == directories->snapshot_depth)
		r = snapshot_open(parent->store, directory->fd, directory->path,
				  &directory->snapshot);
	else if (r == 0)
		directory->snapshot = snapshot_ref(parent->snapshot);
	if (r < 0) {
		directory_free(directory);
		return r;
	}
	*ret_directory = directory;
	return 0;
}

/* Another thread may have been quicker: then FRESH is not needed.  A snapshot that is still known is kept. */
static int install(struct directories *directories, struct node *node, struct directory *fresh,
		   struct place *ret_place)
{
	pthread_mutex_lock(&directories->lock);
	struct directory *known = node->directory;
	struct directory *unneeded = fresh;

	if (!known) {
		node->directory = fresh;
		directories->open++;
		fresh->pins = 1;
		unneeded = NULL;
	} else if (known->fd < 0) {
		known->fd = fresh->fd;
		fresh->fd = -1;
		directories->open++;
		known->pins = 1;
	} else if (!known->pins++) {
		unlink_idle(directories, known);
	}
	int r = node->directory->path_age != directories->age
			? set_path(directories, node->directory)
			: 0;

	if (r == 0)
		fill_place(directories, node->directory, ret_place);
	pthread_mutex_unlock(&directories->lock);
	directory_free(unneeded);
	if (r < 0)
		directory_put(directories, node);
	return r;
}

int directory_get(struct directories *directories, struct node *node, struct place *ret_place)
{
	struct node *parent_node = NULL;
	struct directory *fresh = NULL;
	struct place parent;
	char backing[BACKING_NAME_SIZE];

	pthread_mutex_lock(&directories->lock);
	int r = pin_open(directories, node, ret_place);

	pthread_mutex_unlock(&directories->lock);
	if (r != -EUNATCH)
		return r;
	r = nodes_location(directories->nodes, node, &parent_node, backing);
	if (r < 0)
		return r;
	r = directory_get(directories, parent_node, &parent);
	if (r == 0) {
		r = open_below(directories, node, &parent, backing, &fresh);
		directory_put(directories, parent_node);
	}
	nodes_release(directories->nodes, parent_node);
	return r < 0 ? r : install(directories, node, fresh, ret_place);
}

void directory_put(struct directories *directories, struct node *node)
{
	pthread_mutex_lock(&directories->lock);
	struct directory *directory = node->directory;

	if (!--directory->pins) {
		link_idle(directories, directory);
		keep_within_budget(directories);
	}
	pthread_mutex_unlock(&directories->lock);
}

void directory_close_idle(struct directories *directories, struct node *node)
{
	pthread_mutex_lock(&directories->lock);
	struct directory *directory = node->directory;

	if (directory && directory->fd >= 0 && !directory->pins) {
		unlink_idle(directories, directory);
		close_idle(directories, directory);
	}
	pthread_mutex_unlock(&directories->lock);
}

void directory_node_freed(void *arg, struct node *node)
{
	struct directories *directories = arg;

	if (node_type(node) != S_IFDIR || !node->directory)
		return;
	pthread_mutex_lock(&directories->lock);
	struct directory *directory = node->directory;

	if (directory->fd >= 0) {
		if (!directory->pins)
			unlink_idle(directories, directory);
		directories->open--;
	}
	node->directory = NULL;
	pthread_mutex_unlock(&directories->lock);
	if (is_snapshot(directories, directory))
		snapshot_drop_view(directory->snapshot);
	directory_free(directory);
}

void directories_renamed(struct directories *directories)
{
	pthread_mutex_lock(&directories->lock);
	directories->age++;
	pthread_mutex_unlock(&directories->lock);
}

size_t directories_open(struct directories *directories)
{
	pthread_mutex_lock(&directories->lock);
	size_t open = directories->open;

	pthread_mutex_unlock(&directories->lock);
	return open;
}

const char *directories_root_path(const struct directories *directories)
{
	return directories->root.path;
}
