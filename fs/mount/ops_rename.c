/* SPDX-License-Identifier: Apache-2.0 */
/* Moving and adding names: rename and link. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount/ops.h"
#include "fs/mount/reply.h"
#include "fs/mount/seal.h"
#include "fs/mount/sealed.h"
#include "fs/store/entry.h"
#include "fs/store/snapshot.h"

/* One end of a rename: what the name stands for. */
struct end {
	const struct scope *scope;
	const char *name;
	struct backing_name backing;
	struct attr attr;
	struct node *node; /* referenced; NULL: the kernel does not know it */
	bool exists;
};

static int find_end(struct end *end)
{
	if (name_is_reserved(end->name))
		return -EPERM;
	int r = name_encode(&end->scope->place, end->name, &end->backing);

	if (r == 0)
		r = attr_read(&end->scope->place, end->backing.text, &end->attr);
	if (r < 0)
		return r;
	end->exists = true;
	end->node = nodes_find_identity(end->scope->mount->nodes, &end->attr.identity);
	return 0;
}

/* Everything acknowledged is below before the name changes, or goes; its error is the rename's. */
static int settle(struct mount *mount, struct node *node)
{
	struct open_file *open = node ? open_file_find(mount->files, node) : NULL;
	int r = 0;

	if (open && open_file_use(open) == 0) {
		if (open_file_is_busy(mount->files, open))
			loop_expect_delay();
		r = open_file_flush(mount->files, open);
		open_file_done(open);
	}
	int closed = open_file_unpin(mount->files, open);

	return r < 0 ? r : closed;
}

static void renamed_snapshot(struct mount *mount, const struct end *from, const struct end *to)
{
	struct place place;

	if (to->scope->place.depth + 1 != mount->snapshot_depth || !from->node)
		return;
	if (directory_get(mount->directories, from->node, &place) < 0)
		return;
	snapshot_renamed(place.snapshot, place.path);
	directory_put(mount->directories, from->node);
}

/* The names have changed below; now in what we know. */
static int follow(struct mount *mount, const struct end *from, const struct end *to)
{
	int r = 0;

	if (to->exists && to->node) {
		nodes_remove_name(mount->nodes, to->node, to->scope->node, to->backing.text);
		if (S_ISDIR(to->attr.stat.st_mode) || to->attr.stat.st_nlink <= 1)
			nodes_retire(mount->nodes, to->node);
	}
	if (!from->node)
		return 0;
	r = nodes_add_name(mount->nodes, from->node, to->scope->node, to->backing.text);
	nodes_remove_name(mount->nodes, from->node, from->scope->node, from->backing.text);
	if (S_ISDIR(from->attr.stat.st_mode)) {
		directories_renamed(mount->directories);
		renamed_snapshot(mount, from, to);
	}
	return r < 0 ? r
		     : open_files_moved(mount->files, from->node,
					directories_root_path(mount->directories));
}

static bool is_same_inode(const struct end *from, const struct end *to)
{
	return to->exists && from->attr.identity.inode == to->attr.identity.inode &&
	       from->attr.identity.birth_ns == to->attr.identity.birth_ns;
}

static int rename_ends(struct mount *mount, struct end *from, struct end *to, unsigned flags)
{
	int r = find_end(from);

	if (r < 0)
		return r == -EPERM ? -ENOENT : r;
	r = find_end(to);
	if (r < 0 && r != -ENOENT)
		return r;
	r = settle(mount, from->node);
	if (r == 0)
		r = settle(mount, to->node);
	if (r < 0)
		return r;
	if (to->node && S_ISDIR(to->attr.stat.st_mode))
		directory_close_idle(mount->directories, to->node);
	r = entry_rename(&from->scope->place, from->name, &to->scope->place, to->name, flags);
	/* Two names of one inode: rename(2) does nothing and both stay. */
	if (r < 0 || is_same_inode(from, to))
		return r;
	return follow(mount, from, to);
}

static int rename_names(struct mount *mount, fuse_ino_t parent, const char *name,
			fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
	CLEANUP(scope_leave_pair) struct scope_pair pair = { SCOPE_NONE, SCOPE_NONE };
	struct end from = { .scope = &pair.from, .name = name };
	struct end to = { .scope = &pair.to, .name = new_name };
	int r = scope_enter_pair(&pair, mount, parent, new_parent, true);

	if (r == 0)
		r = scope_may_change(&pair.from);
	if (r == 0)
		r = scope_may_change(&pair.to);
	if (r == 0)
		r = rename_ends(mount, &from, &to, flags);
	nodes_release(mount->nodes, from.node);
	nodes_release(mount->nodes, to.node);
	return r;
}

/* 1 and the node of a snapshot's directory, looked up; 0: NAME is none. */
static int find_directory(struct mount *mount, fuse_ino_t parent, const char *name,
			  fuse_ino_t *ret_id)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	struct fuse_entry_param entry;
	int r = scope_enter(&scope, mount, parent);

	if (r < 0)
		return r;
	if (scope.place.depth + 1 != mount->snapshot_depth)
		return 0;
	r = ops_entry_by_name(&scope, name, &entry);
	if (r < 0)
		return r;
	if (!S_ISDIR(entry.attr.st_mode)) {
		nodes_forget(mount->nodes, entry.ino, 1);
		return 0;
	}
	*ret_id = entry.ino;
	return 1;
}

/* What has just got its final name.  Not at the level of snapshots: a name like any other. */
static int seal_renamed(struct mount *mount, fuse_ino_t parent, const char *name)
{
	fuse_ino_t id = 0;
	int r = find_directory(mount, parent, name, &id);

	if (r <= 0)
		return r;
	r = mount_seal_node(mount, id);
	nodes_forget(mount->nodes, id, 1);
	return r;
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	       const char *new_name, unsigned flags)
{
	struct mount *mount = mount_of(req);
	int r = flags & ~(unsigned)RENAME_NOREPLACE ? -EINVAL : 0;

	if (r == 0)
		r = rename_names(mount, parent, name, new_parent, new_name, flags);
	if (r == 0 && parent == new_parent && mount_seals_rename(mount, name, new_name)) {
		r = seal_renamed(mount, parent, new_name);
		/* It is not finished: so its name must not say that it is. */
		if (r < 0 && rename_names(mount, parent, new_name, parent, name, flags) < 0)
			reply_log(mount, r, nodes_find(mount->nodes, parent), "rename");
	}
	reply_result(req, r, nodes_find(mount->nodes, parent));
}

static int link_open(const struct scope *from, const struct scope *to, const char *new_name,
		     struct fuse_entry_param *ret_entry)
{
	struct attr attr;
	int r = scope_attr(from, &attr);

	if (r == 0)
		r = settle(from->mount, from->node);
	if (r == 0)
		r = entry_link(&from->place, from->backing, &to->place, new_name);
	return r < 0 ? r : ops_entry_by_name(to, new_name, ret_entry);
}

static int link_locked(struct mount *mount, const struct scope *from, fuse_ino_t new_parent,
		       const char *new_name, struct fuse_entry_param *ret_entry)
{
	struct scope to = { .mount = mount };
	int r = scope_enter_locked(&to, new_parent);

	if (r == 0)
		r = scope_may_change(&to);
	if (r == 0)
		r = from->sealed ? sealed_link(from, &to, new_name, ret_entry)
				 : link_open(from, &to, new_name, ret_entry);
	scope_leave(&to);
	return r;
}

static int link_name(struct mount *mount, fuse_ino_t id, fuse_ino_t new_parent,
		     const char *new_name, struct fuse_entry_param *ret_entry)
{
	CLEANUP(scope_leave) struct scope from = SCOPE_NONE;
	int r = scope_locate(&from, mount, id);

	return r < 0 ? r : link_locked(mount, &from, new_parent, new_name, ret_entry);
}

void op_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t new_parent, const char *new_name)
{
	struct mount *mount = mount_of(req);
	struct fuse_entry_param entry;
	int r = link_name(mount, id, new_parent, new_name, &entry);

	if (r < 0)
		reply_failure(req, r, nodes_find(mount->nodes, id));
	else
		fuse_reply_entry(req, &entry);
}
