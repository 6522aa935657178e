/* SPDX-License-Identifier: Apache-2.0 */
/* Finding objects: lookup, forget, readlink, statfs. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fs/mount/ops.h"
#include "fs/mount/reply.h"
#include "fs/mount/sealed.h"
#include "fs/store/entry.h"

#define ROOT_TIMEOUT_S    1.0
#define PRIVATE_TIMEOUT_S 86400.0
#define SHARED_TIMEOUT_S  1.0

double mount_timeout(const struct mount *mount, const struct place *place)
{
	/* Commands make, seal and delete snapshots beside the mount's own callers. */
	if (place->depth < mount->snapshot_depth)
		return ROOT_TIMEOUT_S;
	if (mount->is_private || snapshot_state(place->snapshot) == SNAPSHOT_SEALED)
		return PRIVATE_TIMEOUT_S;
	return SHARED_TIMEOUT_S;
}

/*
 * The kernel takes the size of a file from every answer, so it must be that after the queued writes.  Their error is kept for
 * those who ask for it.
 */
static void attr_of_open(struct mount *mount, struct node *node, struct stat *stat)
{
	struct open_file *open = open_file_find(mount->files, node);

	if (!open)
		return;
	if (open_file_use(open) == 0) {
		struct stat below;

		open_file_settle_quietly(mount->files, open);
		if (fstat(file_fd(open->file), &below) == 0)
			*stat = below;
		stat->st_size = (off_t)file_size(open->file);
		open_file_done(open);
	}
	(void)open_file_unpin(mount->files, open);
}

int ops_entry(const struct scope *scope, const char *backing, struct fuse_entry_param *ret_entry,
	      struct node **ret_node)
{
	struct mount *mount = scope->mount;
	struct node *node = NULL;
	struct attr attr;
	int r = attr_read(&scope->place, backing, &attr);

	if (r < 0)
		return r;
	const struct node_origin origin = {
		.parent = scope->node,
		.name = backing,
		.identity = attr.identity,
		.mode = attr.stat.st_mode,
	};
	const double timeout = mount_timeout(mount, &scope->place);
	bool is_lasting = true;

	r = nodes_remember(mount->nodes, &origin, &node);
	if (r < 0)
		return r;
	attr_of_open(mount, node, &attr.stat);
	if (S_ISDIR(attr.stat.st_mode) && scope->place.depth + 1 == mount->snapshot_depth)
		is_lasting = sealed_snapshot_attr(mount, node, &attr.stat);
	*ret_entry = (struct fuse_entry_param){
		.ino = node->id,
		.attr = attr.stat,
		.attr_timeout = is_lasting ? timeout : 0,
		.entry_timeout = timeout,
	};
	if (ret_node)
		*ret_node = node;
	return 0;
}

int ops_entry_by_name(const struct scope *scope, const char *name,
		      struct fuse_entry_param *ret_entry)
{
	struct backing_name backing;
	int r = name_encode(&scope->place, name, &backing);

	return r < 0 ? r : ops_entry(scope, backing.text, ret_entry, NULL);
}

static int lookup_sealed(const struct scope *scope, const char *name,
			 struct fuse_entry_param *ret_entry)
{
	CLEANUP(sealed_at_cleanup) struct sealed_at at = SEALED_NOWHERE;
	int r = sealed_find(scope, &at);

	if (r == 0)
		r = sealed_entry_by_name(scope, &at, name, ret_entry);
	if (r != -ENOENT)
		return r;
	/* Missing, for ever. */
	*ret_entry = (struct fuse_entry_param){ .entry_timeout = SEALED_TIMEOUT_S };
	return 0;
}

static int lookup(struct mount *mount, fuse_ino_t parent, const char *name,
		  struct fuse_entry_param *ret_entry)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_enter(&scope, mount, parent);

	if (r < 0)
		return r;
	if (scope.sealed)
		return lookup_sealed(&scope, name, ret_entry);
	/* Names of ours do not exist in the mount; creating one is what gives EPERM. */
	r = name_is_reserved(name) ? -ENOENT : ops_entry_by_name(&scope, name, ret_entry);
	if (r == -ENOENT) {
		/* Remembered as missing, where nobody else can make it. */
		*ret_entry = (struct fuse_entry_param){ .entry_timeout = mount_timeout(
								mount, &scope.place) };
		return mount->is_private && scope.place.depth >= mount->snapshot_depth ? 0
										       : -ENOENT;
	}
	return r;
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *mount = mount_of(req);
	struct fuse_entry_param entry;
	int r = lookup(mount, parent, name, &entry);

	if (r < 0)
		reply_failure(req, r, nodes_find(mount->nodes, parent));
	else
		fuse_reply_entry(req, &entry);
}

void op_forget(fuse_req_t req, fuse_ino_t id, uint64_t count)
{
	nodes_forget(mount_of(req)->nodes, id, count);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	struct mount *mount = mount_of(req);

	for (size_t i = 0; i < count; i++)
		nodes_forget(mount->nodes, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static int read_link(struct mount *mount, fuse_ino_t id, char target[static PATH_MAX + 1])
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_locate(&scope, mount, id);

	if (r < 0)
		return r;
	return scope.sealed ? sealed_readlink(&scope, target)
			    : entry_readlink(&scope.place, scope.backing, target, PATH_MAX + 1);
}

void op_readlink(fuse_req_t req, fuse_ino_t id)
{
	struct mount *mount = mount_of(req);
	char target[PATH_MAX + 1];
	int r = read_link(mount, id, target);

	if (r < 0)
		reply_failure(req, r, nodes_find(mount->nodes, id));
	else
		fuse_reply_readlink(req, target);
}

void op_statfs(fuse_req_t req, fuse_ino_t id)
{
	struct statvfs statistics;

	(void)id;
	if (fstatvfs(store_root_fd(mount_of(req)->store), &statistics) < 0) {
		reply_failure(req, -errno, NULL);
		return;
	}
	statistics.f_namemax = NAME_MAX;
	fuse_reply_statfs(req, &statistics);
}
