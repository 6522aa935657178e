/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes, and the one that the kernel asks for before every write. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount/ops.h"
#include "fs/mount/reply.h"
#include "fs/mount/seal.h"
#include "fs/mount/sealed.h"
#include "fs/store/xattr.h"

#define CAPABILITY "security.capability"

static struct xattr_target target_of(const struct scope *scope)
{
	return (struct xattr_target){
		.parent = &scope->place,
		.backing = node_type(scope->node) == S_IFDIR ? "" : scope->backing,
		.type = node_type(scope->node),
	};
}

static bool is_capability(const char *name)
{
	return !strcmp(name, CAPABILITY);
}

static int set(struct mount *mount, fuse_ino_t id, const char *name, const char *value, size_t size,
	       int flags)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_target(&scope, mount, id);

	if (r == 0)
		r = scope_may_change(&scope);
	if (r < 0)
		return r;
	struct xattr_target target = target_of(&scope);

	if (is_capability(name))
		node_clear(scope.node, NODE_HAS_NO_CAPABILITY);
	return xattr_set(&target, name, (const uint8_t *)value, size, flags);
}

void op_setxattr(fuse_req_t req, fuse_ino_t id, const char *name, const char *value, size_t size,
		 int flags)
{
	struct mount *mount = mount_of(req);
	int r;

	if (strcmp(name, MOUNT_SEAL_ATTRIBUTE) == 0)
		r = size == 1 && *value == '1' ? mount_seal_node(mount, id) : -EINVAL;
	else
		r = set(mount, id, name, value, size, flags);
	reply_result(req, r, nodes_find(mount->nodes, id));
}

static ssize_t get(struct mount *mount, fuse_ino_t id, const char *name, uint8_t *value,
		   size_t size)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_target(&scope, mount, id);

	/* An open file without a name cannot be asked below; what it had died with its name. */
	if (r < 0)
		return r == -ENOENT ? -ENODATA : r;
	if (scope.sealed)
		return sealed_attribute(&scope, name, value, size);
	/* Asked before every write to a cached file: answered without going below. */
	if (is_capability(name) && node_has(scope.node, NODE_HAS_NO_CAPABILITY))
		return -ENODATA;
	struct xattr_target target = target_of(&scope);
	ssize_t got = xattr_get(&target, name, value, size);

	if (got == -ENODATA && is_capability(name) && mount->is_private)
		node_set(scope.node, NODE_HAS_NO_CAPABILITY);
	return got;
}

static ssize_t list(struct mount *mount, fuse_ino_t id, uint8_t *names, size_t size)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_target(&scope, mount, id);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (scope.sealed)
		return sealed_attributes(&scope, (char *)names, size);
	struct xattr_target target = target_of(&scope);

	return xattr_list(&target, (char *)names, size);
}

static void reply_value(fuse_req_t req, fuse_ino_t id, const uint8_t *value, size_t size,
			ssize_t got)
{
	if (got < 0)
		reply_failure(req, (int)got, nodes_find(mount_of(req)->nodes, id));
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)got);
	else
		fuse_reply_buf(req, (const char *)value, (size_t)got);
}

void op_getxattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size)
{
	size_t capacity = size < XATTR_SIZE_MAX ? size : XATTR_SIZE_MAX;
	uint8_t *value = loop_reply_memory(capacity ? capacity : 1);

	reply_value(req, id, value, size,
		    value ? get(mount_of(req), id, name, value, capacity) : -ENOMEM);
}

void op_listxattr(fuse_req_t req, fuse_ino_t id, size_t size)
{
	size_t capacity = size < XATTR_LIST_MAX ? size : XATTR_LIST_MAX;
	uint8_t *names = loop_reply_memory(capacity ? capacity : 1);

	reply_value(req, id, names, size,
		    names ? list(mount_of(req), id, names, capacity) : -ENOMEM);
}

static int remove_attribute(struct mount *mount, fuse_ino_t id, const char *name)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_target(&scope, mount, id);

	if (r == 0)
		r = scope_may_change(&scope);
	if (r < 0)
		return r;
	struct xattr_target target = target_of(&scope);

	return xattr_remove(&target, name);
}

void op_removexattr(fuse_req_t req, fuse_ino_t id, const char *name)
{
	struct mount *mount = mount_of(req);

	reply_result(req, remove_attribute(mount, id, name), nodes_find(mount->nodes, id));
}

int ops_drop_capability(struct mount *mount, struct open_file *open)
{
	if (node_has(open->node, NODE_HAS_NO_CAPABILITY))
		return 0;
	int r = remove_attribute(mount, open->node->id, CAPABILITY);

	/* Without a name nobody can run it; without attributes below there is none. */
	if (r < 0 && r != -ENODATA && r != -EOPNOTSUPP && r != -ENOENT)
		return r;
	node_set(open->node, NODE_HAS_NO_CAPABILITY);
	return 0;
}
