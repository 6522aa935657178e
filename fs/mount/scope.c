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

/* An object that came from a manifest; a tombstone ends that. */
static int enter_sealed(struct scope *scope)
{
	struct snapshot *snapshot = scope->node->sealed;

	if (!snapshot_is_sealed(snapshot))
		return -ESTALE;
	scope->sealed = snapshot;
	scope->place = (struct place){
		.store = scope->mount->store,
		.snapshot = snapshot,
		.fd = -1,
		.depth = scope->mount->snapshot_depth,
		.path = "",
	};
	return check_served(scope);
}

/* The directory of a snapshot, reached through its parent. */
static void note_snapshot(struct scope *scope)
{
	struct directories *directories = scope->mount->directories;
	struct place own;

	/* One that cannot be opened shows what is below: it is not gone for that. */
	if (directory_get(directories, scope->node, &own) < 0)
		return;
	if (snapshot_is_sealed(own.snapshot))
		scope->sealed = own.snapshot;
	scope->is_snapshot = true;
	directory_put(directories, scope->node);
}

/* What was looked up before its snapshot was sealed, and the snapshot's directory. */
static void note_sealed(struct scope *scope)
{
	const bool is_inside = !*scope->backing;
	const unsigned depth = scope->place.depth + !is_inside;

	if (depth == scope->mount->snapshot_depth && node_type(scope->node) == S_IFDIR &&
	    !is_inside) {
		note_snapshot(scope);
		return;
	}
	if (scope->place.depth < scope->mount->snapshot_depth)
		return;
	scope->is_snapshot = depth == scope->mount->snapshot_depth;
	if (snapshot_is_sealed(scope->place.snapshot))
		scope->sealed = scope->place.snapshot;
}

int scope_enter_locked(struct scope *scope, fuse_ino_t id)
{
	int r = find(scope, id);

	if (r < 0)
		return r;
	if (node_type(scope->node) != S_IFDIR)
		return -ENOTDIR;
	if (node_has(scope->node, NODE_IS_SEALED))
		return enter_sealed(scope);
	r = pin(scope, scope->node);
	if (r < 0)
		return r;
	note_sealed(scope);
	return check_served(scope);
}

int scope_enter(struct scope *scope, struct mount *mount, fuse_ino_t id)
{
	lock(scope, mount);
	return scope_enter_locked(scope, id);
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

/* Does the name that scope_locate() found stand for something else by now? */
static bool is_elsewhere(const struct scope *scope)
{
	struct attr attr;

	return scope_attr(scope, &attr) == -ESTALE;
}

static int pin_parent(struct scope *scope, struct node *parent)
{
	int r = pin(scope, parent);

	scope->is_referenced = r == 0;
	return r;
}

/*
 * By any of its names: of a file with several, one may have gone without the kernel's doing, with a snapshot that a
 * command removed.
 */
static int locate_by_name(struct scope *scope)
{
	struct nodes *nodes = scope->mount->nodes;
	int r;

	for (;;) {
		struct node *parent = NULL;

		r = nodes_location(nodes, scope->node, &parent, scope->backing);
		if (r < 0)
			return r;
		const bool has_more = r > 0;

		r = pin_parent(scope, parent);
		const bool is_gone = has_more && (r == -ESTALE || r == -ENOENT ||
						  (r == 0 && is_elsewhere(scope)));

		if (is_gone)
			nodes_remove_name(nodes, scope->node, parent, scope->backing);
		if (r < 0)
			nodes_release(nodes, parent);
		if (!is_gone)
			return r < 0 ? r : check_served(scope);
		unpin(scope);
	}
}

static int locate_locked(struct scope *scope, fuse_ino_t id)
{
	int r = find(scope, id);

	if (r < 0)
		return r;
	if (node_has(scope->node, NODE_IS_SEALED))
		return enter_sealed(scope);
	r = id == FUSE_ROOT_ID ? pin(scope, scope->node) : locate_by_name(scope);
	if (r == 0)
		note_sealed(scope);
	return r;
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
	if (node_type(scope->node) != S_IFDIR || node_has(scope->node, NODE_IS_SEALED))
		return locate_locked(scope, id);
	r = pin(scope, scope->node);
	if (r == 0)
		note_sealed(scope);
	return r;
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

int scope_may_change(const struct scope *scope)
{
	return scope->sealed ? -EROFS : 0;
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
