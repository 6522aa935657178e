/* SPDX-License-Identifier: Apache-2.0 */
/* Directories: opendir, readdir, readdirplus, releasedir, fsyncdir. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount/ops.h"
#include "fs/mount/reply.h"
#include "fs/mount/sealed.h"
#include "fs/store/entry.h"

#define REPLY_MAX (1U << 20)

/*
 * An open directory.  It is pinned, so its descriptor stays; the path is a copy, because a rename replaces that of the place.
 *
 *   pending   an entry that was read but did not fit into the last answer
 *   sealed    with a view: listed from the manifest, without LIST and pin
 *   found     the entry of the manifest that was read last
 */
struct open_directory {
	struct open_directory *next;
	struct open_directory *previous;
	pthread_mutex_t lock;
	struct place place;
	struct entry_list *list;
	struct entry pending;
	bool has_pending;
	off_t position;
	bool is_pinned;
	struct sealed_at sealed;
	struct sealed_entry found;
};

static struct open_directory *directory_of(const struct fuse_file_info *info)
{
	return (struct open_directory *)(uintptr_t)info->fh;
}

/* All of them are known, for those that are still open when the mount ends. */
static void enlist(struct mount *mount, struct open_directory *directory)
{
	pthread_mutex_lock(&mount->handles_lock);
	directory->next = mount->open_directories;
	if (directory->next)
		directory->next->previous = directory;
	mount->open_directories = directory;
	pthread_mutex_unlock(&mount->handles_lock);
}

static void delist(struct mount *mount, struct open_directory *directory)
{
	pthread_mutex_lock(&mount->handles_lock);
	*(directory->previous ? &directory->previous->next
			      : &mount->open_directories) = directory->next;
	if (directory->next)
		directory->next->previous = directory->previous;
	pthread_mutex_unlock(&mount->handles_lock);
}

static void open_directory_free(struct open_directory *directory)
{
	if (!directory)
		return;
	entry_list_close(directory->list);
	sealed_at_cleanup(&directory->sealed);
	free((char *)(uintptr_t)directory->place.path);
	pthread_mutex_destroy(&directory->lock);
	free(directory);
}

/* The pin moves from the scope to the handle. */
static int open_below(struct scope *scope, struct open_directory *directory)
{
	int r;

	directory->place = scope->place;
	directory->place.path = strdup(scope->place.path);
	r = directory->place.path ? entry_list_open(&directory->place, &directory->list) : -ENOMEM;
	if (r < 0)
		return r;
	scope->directory = NULL;
	directory->is_pinned = true;
	return 0;
}

static int open_directory(struct mount *mount, fuse_ino_t id, struct open_directory **ret_directory)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_enter(&scope, mount, id);

	if (r < 0)
		return r;
	struct open_directory *directory = calloc(1, sizeof(*directory));

	if (!directory)
		return -ENOMEM;
	pthread_mutex_init(&directory->lock, NULL);
	r = scope.sealed ? sealed_find(&scope, &directory->sealed) : open_below(&scope, directory);
	if (r < 0) {
		open_directory_free(directory);
		return r;
	}
	*ret_directory = directory;
	return 0;
}

static void close_directory(struct mount *mount, fuse_ino_t id, struct open_directory *directory)
{
	const bool is_pinned = directory->is_pinned;

	delist(mount, directory);
	open_directory_free(directory);
	if (is_pinned)
		directory_put(mount->directories, nodes_find(mount->nodes, id));
}

void op_opendir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);
	struct open_directory *directory = NULL;
	int r = open_directory(mount, id, &directory);

	if (r < 0) {
		reply_failure(req, r, nodes_find(mount->nodes, id));
		return;
	}
	info->fh = (uintptr_t)directory;
	enlist(mount, directory);
	/* What the kernel has listed stays true where all changes go through it, or where there are none. */
	info->cache_readdir = directory->sealed.view ||
			      (mount->is_private &&
			       directory->place.depth >= mount->snapshot_depth);
	info->keep_cache = info->cache_readdir;
	if (fuse_reply_open(req, info) == -ENOENT)
		close_directory(mount, id, directory);
}

void op_releasedir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);

	close_directory(mount, id, directory_of(info));
	fuse_reply_err(req, 0);
}

void ops_free_directories(struct mount *mount)
{
	while (mount->open_directories) {
		struct open_directory *directory = mount->open_directories;

		delist(mount, directory);
		open_directory_free(directory);
	}
}

static bool is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* ENTRY, of which FOUND in the manifest is the other half. */
static void take_found(const struct scope *scope, struct open_directory *directory,
		       const struct sealed_at *at, struct entry *ret_entry)
{
	ret_entry->name = directory->found.name;
	ret_entry->inode = is_dot(directory->found.name)
				   ? scope->node->identity.inode
				   : sealed_inode(at->view, directory->found.object);
	ret_entry->type = directory->found.type;
}

static int next_sealed(const struct scope *scope, struct open_directory *directory,
		       struct entry *ret_entry)
{
	int r = sealed_entry_next(&directory->sealed, directory->position, &directory->found);

	if (r <= 0)
		return r;
	*ret_entry = (struct entry){ .backing = "", .next = directory->position + 1 };
	take_found(scope, directory, &directory->sealed, ret_entry);
	return 1;
}

/* A listing that was begun before the snapshot was sealed goes on, with what the manifest has. */
static int next_since_sealed(const struct scope *scope, const struct sealed_at *at,
			     struct open_directory *directory, struct entry *ret_entry)
{
	int r;

	do {
		r = entry_list_next(directory->list, ret_entry);
		if (r <= 0 || is_dot(ret_entry->name))
			return r;
		r = sealed_lookup(at->view, &at->object, ret_entry->name, &directory->found);
	} while (r == -ENOENT);
	if (r < 0)
		return r;
	take_found(scope, directory, at, ret_entry);
	return 1;
}

/* The next entry, from where the kernel wants it.  AT: in a sealed snapshot. */
static int next_entry(const struct scope *scope, const struct sealed_at *at,
		      struct open_directory *directory, struct entry *ret_entry)
{
	if (directory->has_pending) {
		*ret_entry = directory->pending;
		return 1;
	}
	if (directory->sealed.view)
		return next_sealed(scope, directory, ret_entry);
	return at->view ? next_since_sealed(scope, at, directory, ret_entry)
			: entry_list_next(directory->list, ret_entry);
}

static int seek_to(struct open_directory *directory, off_t offset)
{
	if (offset == directory->position)
		return 0;
	directory->has_pending = false;
	int r = directory->sealed.view ? 0 : entry_list_seek(directory->list, offset);

	directory->position = r < 0 ? -1 : offset;
	return r;
}

/* One request for entries.  AT->view: NULL outside of sealed snapshots. */
struct listing {
	fuse_req_t req;
	const struct scope *scope;
	const struct sealed_at *at;
	struct open_directory *directory;
};

static size_t add_plain(fuse_req_t req, char *buffer, size_t size, const struct entry *entry)
{
	const struct stat stat = { .st_ino = entry->inode, .st_mode = entry->type };

	return fuse_add_direntry(req, buffer, size, entry->name, &stat, entry->next);
}

/* Which entries get attributes with them; the others are looked up when somebody wants them. */
static void entry_attributes(const struct scope *scope, const struct sealed_at *at,
			     const struct open_directory *directory, const struct entry *entry,
			     struct fuse_entry_param *ret_param)
{
	int r = -ENOENT;

	if (!is_dot(entry->name))
		r = at->view ? sealed_entry(scope, at, &directory->found, ret_param)
			     : ops_entry(scope, entry->backing, ret_param, NULL);
	if (r == 0)
		return;
	*ret_param = (struct fuse_entry_param){
		.attr = { .st_ino = entry->inode, .st_mode = entry->type },
	};
}

static size_t add_with_attributes(const struct listing *listing, char *buffer, size_t size,
				  const struct entry *entry)
{
	struct fuse_entry_param param;
	fuse_req_t req = listing->req;

	/* First whether it fits: an answer that is not given must not count as a lookup. */
	if (fuse_add_direntry_plus(req, NULL, 0, entry->name, NULL, 0) > size)
		return size + 1;
	entry_attributes(listing->scope, listing->at, listing->directory, entry, &param);
	return fuse_add_direntry_plus(req, buffer, size, entry->name, &param, entry->next);
}

static ssize_t fill(const struct listing *listing, char *buffer, size_t size, bool has_attributes)
{
	struct open_directory *directory = listing->directory;
	size_t used = 0;
	struct entry entry;
	int r = 0;

	while ((r = next_entry(listing->scope, listing->at, directory, &entry)) > 0) {
		size_t left = size - used;
		size_t needed = has_attributes
					? add_with_attributes(listing, buffer + used, left, &entry)
					: add_plain(listing->req, buffer + used, left, &entry);

		if (needed > left) {
			directory->pending = entry;
			directory->has_pending = true;
			break;
		}
		directory->has_pending = false;
		directory->position = entry.next;
		used += needed;
	}
	/* What was found before an error is given first; the error comes again. */
	return r < 0 && used == 0 ? r : (ssize_t)used;
}

static ssize_t read_directory(fuse_req_t req, fuse_ino_t id, struct open_directory *directory,
			      char *buffer, size_t size, off_t offset, bool has_attributes)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	CLEANUP(sealed_at_cleanup) struct sealed_at at = SEALED_NOWHERE;
	const struct listing listing = { req, &scope, &at, directory };
	int r = scope_enter(&scope, mount_of(req), id);

	if (r == 0 && scope.sealed)
		r = sealed_find(&scope, &at);
	/* Its snapshot was deleted. */
	if (r == 0 && directory->sealed.view && !at.view)
		r = -ESTALE;
	if (r == 0)
		r = seek_to(directory, offset);
	return r < 0 ? r : fill(&listing, buffer, size, has_attributes);
}

static void reply_entries(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
			  const struct fuse_file_info *info, bool has_attributes)
{
	struct open_directory *directory = directory_of(info);
	char *buffer = (char *)loop_reply_memory(size < REPLY_MAX ? size : REPLY_MAX);
	ssize_t used = -ENOMEM;

	if (buffer) {
		pthread_mutex_lock(&directory->lock);
		used = read_directory(req, id, directory, buffer,
				      size < REPLY_MAX ? size : REPLY_MAX, offset, has_attributes);
		pthread_mutex_unlock(&directory->lock);
	}
	if (used < 0)
		reply_failure(req, (int)used, nodes_find(mount_of(req)->nodes, id));
	else
		fuse_reply_buf(req, buffer, (size_t)used);
}

void op_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
		struct fuse_file_info *info)
{
	reply_entries(req, id, size, offset, info, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
		    struct fuse_file_info *info)
{
	reply_entries(req, id, size, offset, info, true);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t id, int is_data_only, struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);

	(void)is_data_only;
	if (directory_of(info)->sealed.view) {
		reply_result(req, 0, NULL);
		return;
	}
	loop_expect_delay();
	reply_result(req, entry_sync_directory(&directory_of(info)->place),
		     nodes_find(mount->nodes, id));
}
