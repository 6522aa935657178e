/* SPDX-License-Identifier: Apache-2.0 */
/* Making and removing names: mkdir, mknod, symlink, unlink, rmdir. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount/credentials.h"
#include "fs/mount/ops.h"
#include "fs/mount/reply.h"
#include "fs/store/entry.h"
#include "fs/store/file.h"

/* What is to be made in a directory, of any kind but an opened file. */
struct creation {
	mode_t mode;
	dev_t device;
	const char *target;
};

/* mknod(2) of a regular file: the same file as create(2) makes. */
static int make_file(const struct scope *scope, const char *name, mode_t mode)
{
	struct backing_name backing;
	struct file *file = NULL;
	int r = file_create(&scope->place, name, mode, &backing, &file);

	return r < 0 ? r : file_close(file, NULL);
}

static int make_any(const struct scope *scope, const char *name, const struct creation *creation)
{
	switch (creation->mode & S_IFMT) {
	case S_IFDIR:
		return entry_mkdir(&scope->place, name, creation->mode & 07777);
	case S_IFLNK:
		return entry_symlink(&scope->place, name, creation->target);
	case S_IFREG:
		return make_file(scope, name, creation->mode);
	default:
		return entry_mknod(&scope->place, name, creation->mode, creation->device);
	}
}

static int make(fuse_req_t req, fuse_ino_t parent, const char *name,
		const struct creation *creation, struct fuse_entry_param *ret_entry)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_enter(&scope, mount_of(req), parent);

	if (r == 0)
		r = scope_may_change(&scope);
	if (r < 0)
		return r;
	struct credentials as = credentials_assume(fuse_req_ctx(req));

	r = make_any(&scope, name, creation);
	credentials_restore(&as);
	return r < 0 ? r : ops_entry_by_name(&scope, name, ret_entry);
}

static void reply_make(fuse_req_t req, fuse_ino_t parent, const char *name,
		       const struct creation *creation)
{
	struct fuse_entry_param entry;
	int r = make(req, parent, name, creation, &entry);

	if (r < 0)
		reply_failure(req, r, nodes_find(mount_of(req)->nodes, parent));
	else
		fuse_reply_entry(req, &entry);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	const struct creation creation = { .mode = S_IFDIR | (mode & 07777) };

	reply_make(req, parent, name, &creation);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
	const struct creation creation = { .mode = mode & S_IFMT ? mode : S_IFREG | mode,
					   .device = device };

	reply_make(req, parent, name, &creation);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	const struct creation creation = { .mode = S_IFLNK, .target = target };

	reply_make(req, parent, name, &creation);
}

/* What a name stands for before it goes: its node, if the kernel knows one, with a reference. */
static int find_victim(const struct scope *scope, const char *name,
		       struct backing_name *ret_backing, struct attr *ret_attr,
		       struct node **ret_node)
{
	if (name_is_reserved(name))
		return -ENOENT;
	int r = name_encode(&scope->place, name, ret_backing);

	if (r == 0)
		r = attr_read(&scope->place, ret_backing->text, ret_attr);
	if (r < 0)
		return r;
	*ret_node = nodes_find_identity(scope->mount->nodes, &ret_attr->identity);
	return 0;
}

static int remove_any(struct mount *mount, fuse_ino_t parent, const char *name,
		      int (*remove)(const struct place *parent, const char *name))
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	struct backing_name backing;
	struct attr attr;
	struct node *node = NULL;
	int r = scope_enter(&scope, mount, parent);

	if (r == 0)
		r = scope_may_change(&scope);
	if (r == 0)
		r = find_victim(&scope, name, &backing, &attr, &node);
	if (r < 0)
		return r;
	/* A descriptor on what is removed would leave a .nfs file behind on NFS. */
	if (node && node_type(node) == S_IFDIR)
		directory_close_idle(mount->directories, node);
	r = remove(&scope.place, name);
	if (r == 0 && node) {
		nodes_remove_name(mount->nodes, node, scope.node, backing.text);
		if (node_type(node) == S_IFDIR || attr.stat.st_nlink <= 1)
			nodes_retire(mount->nodes, node);
	}
	nodes_release(mount->nodes, node);
	return r;
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *mount = mount_of(req);

	reply_result(req, remove_any(mount, parent, name, entry_unlink),
		     nodes_find(mount->nodes, parent));
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *mount = mount_of(req);

	reply_result(req, remove_any(mount, parent, name, entry_rmdir),
		     nodes_find(mount->nodes, parent));
}
