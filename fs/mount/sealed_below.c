/* SPDX-License-Identifier: Apache-2.0 */
/* Content in a sealed snapshot: what is below, opened when somebody reads or links it, and compared with the manifest. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include "fs/mount/ops.h"
#include "fs/mount/sealed.h"
#include "fs/store/entry.h"
#include "fs/store/sealed_compare.h"

void sealed_report(struct mount *mount, struct node *node, const char *class, const char *text)
{
	const char *root = directories_root_path(mount->directories);
	char *below;
	char *path = NULL;

	if (node_has(node, NODE_IS_REPORTED))
		return;
	node_set(node, NODE_IS_REPORTED);
	below = nodes_path(mount->nodes, node, NULL, NULL);
	if (below && asprintf(&path, "%s%s%s", root, *root ? "/" : "", below) < 0)
		path = NULL;
	store_report(mount->store, LOG_ERR, path ? path : "", "%s: %s; see 'snapcrypt verify'",
		     class, text);
	free(path);
	free(below);
}

/* ---- Where an object is below -------------------------------------------------------------------------------------- */

/*
 * The backing name of an object and the directory it is in, which is pinned.
 *
 *   parent   NULL: the scope's own
 */
struct below {
	struct mount *mount;
	struct node *parent;
	struct place place;
	char name[BACKING_NAME_SIZE];    /* as the node has it */
	char backing[BACKING_NAME_SIZE]; /* as it is below */
	bool has_more;                   /* the node has other names */
};

static void below_leave(struct below *below)
{
	if (!below->parent)
		return;
	directory_put(below->mount->directories, below->parent);
	nodes_release(below->mount->nodes, below->parent);
	below->parent = NULL;
}

static int encode(struct below *below)
{
	struct backing_name backing;
	int r = name_encode(&below->place, below->name, &backing);

	if (r == 0)
		strcpy(below->backing, backing.text);
	return r;
}

/* What was looked up before the seal has its place in the scope. */
static int below_enter(const struct scope *scope, struct below *below)
{
	struct mount *mount = scope->mount;
	struct node *parent = NULL;
	int r;

	*below = (struct below){ .mount = mount, .place = scope->place };
	if (!node_has(scope->node, NODE_IS_SEALED)) {
		strcpy(below->backing, scope->backing);
		return 0;
	}
	r = nodes_location(mount->nodes, scope->node, &parent, below->name);
	if (r < 0)
		return r;
	below->has_more = r > 0;
	r = directory_get(mount->directories, parent, &below->place);
	if (r < 0) {
		nodes_release(mount->nodes, parent);
		return r;
	}
	below->parent = parent;
	return encode(below);
}

/* ---- Opening ------------------------------------------------------------------------------------------------------- */

static int open_below(const struct scope *scope, const struct sealed_at *at, struct open_file *open,
		      struct below *below)
{
	int r = below_enter(scope, below);
	const struct open_file_where where = { &below->place, below->backing, at->view,
					       &at->object };

	return r < 0 ? r : open_file_open(scope->mount->files, open, &where, FILE_READ, false);
}

/* By any of its names: one of several may have been removed below. */
static int open_by_names(const struct scope *scope, const struct sealed_at *at,
			 struct open_file *open)
{
	for (;;) {
		struct below below;
		int r = open_below(scope, at, open, &below);
		const bool is_gone = r == -ENOENT && below.has_more && below.parent;

		if (is_gone)
			nodes_remove_name(scope->mount->nodes, scope->node, below.parent,
					  below.name);
		below_leave(&below);
		if (!is_gone)
			return r;
	}
}

/* What is known to be something else is not served; the engine has said why. */
static int judge(const struct scope *scope, int code)
{
	if (code != -ENOENT)
		return code;
	sealed_report(scope->mount, scope->node, "missing", "it is gone below");
	return -EBADMSG;
}

int sealed_open(const struct scope *scope, struct open_file *open)
{
	CLEANUP(sealed_at_cleanup) struct sealed_at at = SEALED_NOWHERE;
	int r = open_file_use(open);

	if (r == 0) {
		open_file_done(open);
		return 0;
	}
	r = sealed_find(scope, &at);
	return r < 0 ? r : judge(scope, open_by_names(scope, &at, open));
}

/* ---- Linking ------------------------------------------------------------------------------------------------------- */

static void close_file(struct file **file)
{
	(void)file_close(*file, NULL);
}

/* The link is there, and nobody has seen it yet: is it the object of the manifest, in everything that is said about it? */
static int check_link(const struct scope *scope, const struct sealed_at *at, const struct scope *to,
		      const char *new_name, const struct file *file)
{
	struct sealed_difference difference;
	struct backing_name backing;
	struct stat linked;
	struct stat opened;
	int r = name_encode(&to->place, new_name, &backing);

	if (r < 0)
		return r;
	const struct sealed_item item = {
		.view = at->view,
		.parent = &to->place,
		.backing = backing.text,
		.index = at->index,
		.object = &at->object,
	};

	r = sealed_compare(&item, &difference);
	if (r > 0) {
		sealed_report(scope->mount, scope->node, finding_class_name(difference.class),
			      difference.text);
		return -EBADMSG;
	}
	if (r < 0 || !file)
		return r;
	if (fstat(file_fd(file), &opened) < 0 ||
	    fstatat(to->place.fd, backing.text, &linked, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return opened.st_ino == linked.st_ino && opened.st_dev == linked.st_dev ? 0 : -EBADMSG;
}

static int link_checked(const struct scope *scope, const struct sealed_at *at,
			const struct below *below, const struct scope *to, const char *new_name)
{
	CLEANUP(close_file) struct file *file = NULL;
	int r = 0;

	if (S_ISREG(at->object.mode))
		r = sealed_file_open(at->view, &below->place, below->backing, &at->object, &file);
	if (r == 0)
		r = entry_link(&below->place, below->backing, &to->place, new_name);
	if (r < 0)
		return r;
	r = check_link(scope, at, to, new_name, file);
	if (r < 0 && entry_unlink(&to->place, new_name) < 0)
		sealed_report(scope->mount, scope->node, "tampered",
			      "linked, and the link could not be removed");
	return r;
}

int sealed_link(const struct scope *scope, const struct scope *to, const char *new_name,
		struct fuse_entry_param *ret_entry)
{
	CLEANUP(sealed_at_cleanup) struct sealed_at at = SEALED_NOWHERE;
	struct below below;
	int r = sealed_find(scope, &at);

	if (r < 0)
		return r;
	r = below_enter(scope, &below);
	if (r == 0)
		r = link_checked(scope, &at, &below, to, new_name);
	below_leave(&below);
	r = judge(scope, r);
	return r < 0 ? r : ops_entry_by_name(to, new_name, ret_entry);
}
