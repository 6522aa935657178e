/* SPDX-License-Identifier: Apache-2.0 */
/* Where an operation happens: locks, pins and the check whether it is served at all. */
#include "fs/mount/scope.h"

#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "fs/store/snapshot.h"

static void lock(struct scope *scope, struct mount *mount)
{
	scope->mount = mount;
	pthread_rwlock_rdlock(&mount->namespace_lock);
	scope->is_locked = true;
}

static int find(struct scope *scope, fuse_ino_t id)
{
	scope->node = nodes_find(scope->mount->nodes, id);
	return scope->node ? 0 : -ESTALE;
}

/* The root snapshot is the way to all others, so it is always served. */
static int check_served(const struct scope *scope)
{
	const struct mount *mount = scope->mount;

	if (scope->place.depth < mount->snapshot_depth)
		return 0;
	enum snapshot_state state = snapshot_state(scope->place.snapshot);

	if (state == SNAPSHOT_FOREIGN)
		return -EACCES;
	return mount->options->requires_sealed && state != SNAPSHOT_SEALED ? -EACCES : 0;
}

static int pin(struct scope *scope, struct node *directory)
{
	int r = directory_get(scope->mount->directories, directory, &scope->place);

	if (r < 0)
		return r;
	scope->directory = directory;
	return 0;
}

int scope_enter_locked(struct scope *scope, fuse_ino_t id)
{
	int r = find(scope, id);

	if (r < 0)
		return r;
	if (node_type(scope->node) != S_IFDIR)
		return -ENOTDIR;
	r = pin(scope, scope->node);
	return r < 0 ? r : check_served(scope);
}

int scope_enter(struct scope *scope, struct mount *mount, fuse_ino_t id)
{
	lock(scope, mount);
	return scope_enter_locked(scope, id);
}

static int locate_locked(struct scope *scope, fuse_ino_t id)
{
	struct node *parent = NULL;
	int r = find(scope, id);

	if (r < 0)
		return r;
	if (id == FUSE_ROOT_ID)
		return pin(scope, scope->node);
	r = nodes_location(scope->mount->nodes, scope->node, &parent, scope->backing);
	if (r < 0)
		return r;
	r = pin(scope, parent);
	if (r < 0) {
		nodes_release(scope->mount->nodes, parent);
		return r;
	}
	scope->is_referenced = true;
	return check_served(scope);
}

int scope_locate(struct scope *scope, struct mount *mount, fuse_ino_t id)
{
	lock(scope, mount);
	return locate_locked(scope, id);
}

int scope_target(struct scope *scope, struct mount *mount, fuse_ino_t id)
{
	lock(scope, mount);
	int r = find(scope, id);

	if (r < 0)
		return r;
	return node_type(scope->node) == S_IFDIR ? pin(scope, scope->node)
						 : locate_locked(scope, id);
}

static void unpin(struct scope *scope)
{
	if (scope->directory)
		directory_put(scope->mount->directories, scope->directory);
	if (scope->is_referenced)
		nodes_release(scope->mount->nodes, scope->directory);
	scope->directory = NULL;
	scope->is_referenced = false;
}

void scope_leave(struct scope *scope)
{
	int saved_errno = errno;

	unpin(scope);
	if (scope->is_locked)
		pthread_rwlock_unlock(&scope->mount->namespace_lock);
	scope->is_locked = false;
	errno = saved_errno;
}

int scope_enter_pair(struct scope_pair *pair, struct mount *mount, fuse_ino_t from, fuse_ino_t to,
		     bool is_exclusive)
{
	pair->from.mount = mount;
	pair->to.mount = mount;
	if (is_exclusive)
		pthread_rwlock_wrlock(&mount->namespace_lock);
	else
		pthread_rwlock_rdlock(&mount->namespace_lock);
	pair->from.is_locked = true;
	int r = scope_enter_locked(&pair->from, from);

	return r < 0 ? r : scope_enter_locked(&pair->to, to);
}

void scope_leave_pair(struct scope_pair *pair)
{
	unpin(&pair->to);
	scope_leave(&pair->from);
}

int scope_attr(const struct scope *scope, struct attr *ret_attr)
{
	int r = *scope->backing ? attr_read(&scope->place, scope->backing, ret_attr)
				: attr_read_fd(scope->place.fd, ret_attr);

	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	if (ret_attr->identity.inode != scope->node->identity.inode ||
	    ret_attr->identity.birth_ns != scope->node->identity.birth_ns)
		return -ESTALE;
	return 0;
}
