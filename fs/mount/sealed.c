/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names, attributes and targets in a sealed snapshot, from its manifest.
 *
 * A node made from a manifest carries its object in its inode number.  What was looked up before the snapshot was sealed is
 * found in the manifest by its path: so what the kernel still knows of then is served as it was sealed, too.
 */
#include "fs/mount/sealed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/xattr.h"
#include "fs/store/xattr_virtual.h"

void sealed_at_cleanup(struct sealed_at *at)
{
	sealed_view_put(at->view);
	at->view = NULL;
}

/* ---- Where a node is in the manifest ------------------------------------------------------------------------------- */

static int index_of(struct mount *mount, struct sealed_view *view, struct node *node,
		    uint64_t *ret_index);

/* By its name in its parent, as far as the manifest has it. */
static int index_by_name(struct mount *mount, struct sealed_view *view, const struct node *node,
			 uint64_t *ret_index)
{
	char backing[BACKING_NAME_SIZE];
	char plain[MANIFEST_NAME_MAX + 1];
	struct manifest_object object;
	struct sealed_entry entry;
	struct node *parent = NULL;
	struct place place;
	uint64_t index = 0;
	int r = nodes_location(mount->nodes, node, &parent, backing);

	if (r < 0)
		return r;
	r = index_of(mount, view, parent, &index);
	if (r == 0)
		r = directory_get(mount->directories, parent, &place);
	if (r == 0) {
		r = name_decode(&place, backing, plain);
		directory_put(mount->directories, parent);
	}
	nodes_release(mount->nodes, parent);
	if (r == 0)
		r = sealed_object(view, index, &object);
	if (r == 0)
		r = sealed_lookup(view, &object, plain, &entry);
	if (r == 0)
		*ret_index = entry.object;
	return r;
}

static int index_of(struct mount *mount, struct sealed_view *view, struct node *node,
		    uint64_t *ret_index)
{
	struct place place;
	int r;

	if (node_has(node, NODE_IS_SEALED)) {
		*ret_index = sealed_inode_object(node->identity.inode);
		return sealed_inode(view, *ret_index) == node->identity.inode ? 0 : -ESTALE;
	}
	if (node_type(node) != S_IFDIR)
		return index_by_name(mount, view, node, ret_index);
	r = directory_get(mount->directories, node, &place);
	if (r < 0)
		return r;
	directory_put(mount->directories, node);
	if (place.depth != mount->snapshot_depth)
		return index_by_name(mount, view, node, ret_index);
	*ret_index = SEALED_ROOT;
	return 0;
}

int sealed_find(const struct scope *scope, struct sealed_at *ret_at)
{
	CLEANUP(sealed_at_cleanup) struct sealed_at at = SEALED_NOWHERE;
	int r = snapshot_sealed_view(scope->sealed, &at.view);

	if (r == 0)
		r = index_of(scope->mount, at.view, scope->node, &at.index);
	if (r == 0)
		r = sealed_object(at.view, at.index, &at.object);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	if ((at.object.mode & S_IFMT) != node_type(scope->node))
		return -ESTALE;
	*ret_at = at;
	at.view = NULL;
	return 0;
}

/* ---- Entries ------------------------------------------------------------------------------------------------------- */

/* Two directories with one identity have one manifest, but objects of their own; no birth time is negative. */
static struct node_identity identity_of(const struct scope *scope, uint64_t inode)
{
	return (struct node_identity){
		.inode = inode,
		.birth_ns = ~(int64_t)(snapshot_inode(scope->sealed) & INT64_MAX),
	};
}

int sealed_entry(const struct scope *scope, const struct sealed_at *at,
		 const struct sealed_entry *found, struct fuse_entry_param *ret_entry)
{
	struct manifest_object object;
	struct node *node = NULL;
	struct stat stat;
	int r = sealed_object(at->view, found->object, &object);

	if (r < 0)
		return r;
	sealed_stat(at->view, found->object, &object, &stat);
	const struct node_origin origin = {
		.parent = scope->node,
		.name = found->name,
		.identity = identity_of(scope, stat.st_ino),
		.mode = stat.st_mode,
		.sealed = scope->sealed,
	};

	r = nodes_remember(scope->mount->nodes, &origin, &node);
	if (r < 0)
		return r;
	*ret_entry = (struct fuse_entry_param){
		.ino = node->id,
		.attr = stat,
		.attr_timeout = SEALED_TIMEOUT_S,
		.entry_timeout = SEALED_TIMEOUT_S,
	};
	return 0;
}

int sealed_entry_by_name(const struct scope *scope, const struct sealed_at *at, const char *name,
			 struct fuse_entry_param *ret_entry)
{
	struct sealed_entry found;
	int r = sealed_lookup(at->view, &at->object, name, &found);

	return r < 0 ? r : sealed_entry(scope, at, &found, ret_entry);
}

int sealed_entry_next(const struct sealed_at *at, off_t position, struct sealed_entry *ret_entry)
{
	int r;

	if (position < 2) {
		*ret_entry = (struct sealed_entry){ .type = S_IFDIR, .object = at->index };
		strcpy(ret_entry->name, position == 0 ? "." : "..");
		return 1;
	}
	r = sealed_entry_at(at->view, &at->object, (uint64_t)position - 2, ret_entry);
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

/* ---- Attributes ---------------------------------------------------------------------------------------------------- */

static int attr_from_manifest(const struct scope *scope, struct stat *ret_stat)
{
	CLEANUP(sealed_at_cleanup) struct sealed_at at = SEALED_NOWHERE;
	int r = sealed_find(scope, &at);

	if (r < 0)
		return r;
	sealed_stat(at.view, at.index, &at.object, ret_stat);
	/* Its number stays what it was when the kernel looked it up. */
	ret_stat->st_ino = scope->node->identity.inode;
	return 0;
}

int sealed_attr(const struct scope *scope, struct stat *ret_stat, double *ret_timeout)
{
	struct attr attr;
	int r = attr_from_manifest(scope, ret_stat);

	*ret_timeout = scope->is_snapshot ? 1.0 : SEALED_TIMEOUT_S;
	if (r == 0 || !scope->is_snapshot)
		return r;
	r = scope_attr(scope, &attr);
	if (r < 0)
		return r;
	*ret_stat = attr.stat;
	*ret_timeout = 0;
	return 0;
}

bool sealed_snapshot_attr(struct mount *mount, struct node *node, struct stat *stat)
{
	struct scope scope = { .mount = mount, .node = node };
	struct place place;
	struct stat sealed;
	bool is_known = true;

	if (directory_get(mount->directories, node, &place) < 0)
		return true;
	if (snapshot_is_sealed(place.snapshot)) {
		scope.sealed = place.snapshot;
		is_known = attr_from_manifest(&scope, &sealed) == 0;
		if (is_known)
			*stat = sealed;
	}
	directory_put(mount->directories, node);
	return is_known;
}

int sealed_readlink(const struct scope *scope, char target[static MANIFEST_TARGET_MAX + 1])
{
	CLEANUP(sealed_at_cleanup) struct sealed_at at = SEALED_NOWHERE;
	int r = sealed_find(scope, &at);

	if (r < 0)
		return r;
	return S_ISLNK(at.object.mode)
		       ? manifest_read_target(sealed_view_manifest(at.view), &at.object, target)
		       : -EINVAL;
}

/* What is answered and not stored: of the snapshot, but for the DEK of an object. */
static ssize_t virtual_attribute(const struct scope *scope, const char *name, uint8_t *value,
				 size_t size)
{
	const struct xattr_target target = { &scope->place, "", S_IFDIR };
	CLEANUP(sealed_at_cleanup) struct sealed_at at = SEALED_NOWHERE;
	char text[UUID_TEXT_SIZE];
	struct uuid dek = { 0 };
	int r;

	if (strcmp(name, "user.snapcrypt.data_key_id") != 0 || node_type(scope->node) == S_IFDIR)
		return xattr_virtual_get(&target, name, value, size);
	r = sealed_find(scope, &at);
	if (r == 0)
		r = sealed_object_dek(at.view, &at.object, &dek);
	if (r < 0)
		return r;
	if (uuid_is_zero(&dek))
		return -ENODATA;
	uuid_format(&dek, text);
	if (size > 0 && size < strlen(text))
		return -ERANGE;
	if (size > 0)
		memcpy(value, text, strlen(text));
	return (ssize_t)strlen(text);
}

/* What the directory of a snapshot has below, while the manifest cannot be read: what is encrypted there waits for the key. */
static struct xattr_target snapshot_target(const struct scope *scope)
{
	return (struct xattr_target){ &scope->place, "", S_IFDIR };
}

ssize_t sealed_attribute(const struct scope *scope, const char *name, uint8_t *value, size_t size)
{
	CLEANUP(sealed_at_cleanup) struct sealed_at at = SEALED_NOWHERE;
	const struct xattr_target target = snapshot_target(scope);
	const ssize_t got = virtual_attribute(scope, name, value, size);
	int r;

	if (got != -ENODATA)
		return got;
	r = sealed_find(scope, &at);
	if (r < 0)
		return scope->is_snapshot ? xattr_get(&target, name, value, size) : r;
	return sealed_xattr_get(at.view, &at.object, name, value, size);
}

ssize_t sealed_attributes(const struct scope *scope, char *names, size_t size)
{
	CLEANUP(sealed_at_cleanup) struct sealed_at at = SEALED_NOWHERE;
	const struct xattr_target target = snapshot_target(scope);
	int r = sealed_find(scope, &at);

	if (r < 0)
		return scope->is_snapshot ? xattr_list(&target, names, size) : r;
	return sealed_xattr_list(at.view, &at.object, names, size);
}
