/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel has to forget when a DEK is withdrawn.
 *
 * When the entry of a directory is forgotten, the kernel lets go of everything below that it does not use.  What somebody has open
 * stays, names and all, and comes back with its directory: so each entry is forgotten by itself.
 */
#include "fs/mount/withdrawal.h"

#include <stdlib.h>
#include <string.h>

#include "fs/store/name.h"
#include "fs/store/snapshot.h"

/* BACKING is replaced by the plain name when that has been read; "": it cannot be. */
struct withdrawn_name {
	struct node_identity parent;
	uint64_t parent_id;
	bool is_plain; /* as it is: of an object of a sealed snapshot */
	char text[BACKING_NAME_SIZE];
};

/* One walk over the table of nodes. */
struct walk {
	struct withdrawal *withdrawal;
	const struct node *snapshot;
	uint64_t after_id; /* older nodes are noted already */
	uint64_t newest_id;
	struct withdrawn_nodes directories; /* at the depth of snapshots */
};

/* ---- Lists ----------------------------------------------------------------------------------- */

/* ARRAY with room for one more; NULL: no memory. */
static void *grown(void *array, size_t count, size_t *room, size_t size)
{
	size_t wanted = *room ? 2 * *room : 64;

	if (count < *room)
		return array;
	void *more = reallocarray(array, wanted, size);

	if (more)
		*room = wanted;
	return more;
}

static void add_name(struct withdrawal *withdrawal, const struct node *parent, const char *backing,
		     bool is_plain)
{
	struct withdrawn_name *names = grown(withdrawal->names, withdrawal->name_count,
					     &withdrawal->name_room, sizeof(*names));

	if (!names)
		return;
	struct withdrawn_name *name = &names[withdrawal->name_count++];

	withdrawal->names = names;
	name->parent = parent->identity;
	name->parent_id = parent->id;
	name->is_plain = is_plain;
	strncpy(name->text, backing, sizeof(name->text) - 1);
	name->text[sizeof(name->text) - 1] = '\0';
}

static void add_node(struct withdrawn_nodes *nodes, const struct node *node)
{
	struct withdrawn_node *list = grown(nodes->list, nodes->count, &nodes->room, sizeof(*list));

	if (!list)
		return;
	nodes->list = list;
	nodes->list[nodes->count++] = (struct withdrawn_node){ node->id, node->identity };
}

/* ---- Walks: under the lock of the table ------------------------------------------------------- */

static bool is_at_or_below(const struct node *node, const struct node *directory)
{
	while (node && node != directory)
		node = node->names ? node->names->parent : NULL;
	return node != NULL;
}

static unsigned depth_of(const struct mount *mount, const struct node *node)
{
	unsigned depth = mount->options->snapshot ? mount->snapshot_depth : 0;

	for (; node->names; node = node->names->parent)
		depth++;
	return depth;
}

static bool visit_directory(void *arg, const struct node *node)
{
	struct walk *walk = arg;
	const struct mount *mount = walk->withdrawal->mount;

	if (node->id > walk->newest_id)
		walk->newest_id = node->id;
	if (node_type(node) == S_IFDIR && node->id > walk->after_id &&
	    depth_of(mount, node) == mount->snapshot_depth)
		add_node(&walk->directories, node);
	return false;
}

/* A file may have names in several snapshots. */
static bool visit_inside(void *arg, const struct node *node)
{
	struct walk *walk = arg;
	bool is_inside = node == walk->snapshot;

	if (node->id <= walk->after_id)
		return false;
	for (const struct node_name *name = node->names; name; name = name->next) {
		if (!is_at_or_below(name->parent, walk->snapshot))
			continue;
		add_name(walk->withdrawal, name->parent, name->backing,
			 node_has(node, NODE_IS_SEALED));
		is_inside = true;
	}
	if (is_inside)
		add_node(&walk->withdrawal->inodes, node);
	return false;
}

static bool has_pages(void *arg, const struct node *node)
{
	const struct withdrawal *withdrawal = arg;

	return node->dek == withdrawal->number;
}

/* ---- Noting ---------------------------------------------------------------------------------- */

static bool is_snapshot_of(const struct withdrawal *withdrawal, const struct place *place)
{
	return place->depth >= withdrawal->mount->snapshot_depth && place->snapshot &&
	       uuid_equal(snapshot_dek_id(place->snapshot), withdrawal->dek_id);
}

static void read_name(const struct withdrawal *withdrawal, struct withdrawn_name *name)
{
	struct mount *mount = withdrawal->mount;
	struct node *parent;
	struct place place;
	char plain[256] = "";

	if (name->is_plain)
		return;
	parent = nodes_find_identity(mount->nodes, &name->parent);
	if (parent && directory_get(mount->directories, parent, &place) == 0) {
		if (!is_snapshot_of(withdrawal, &place) ||
		    name_decode(&place, name->text, plain) < 0)
			plain[0] = '\0';
		directory_put(mount->directories, parent);
	}
	nodes_release(mount->nodes, parent);
	strncpy(name->text, plain, sizeof(name->text) - 1);
	name->text[sizeof(name->text) - 1] = '\0';
}

/* Look at each node of the table; the visitor notes what it wants. */
static void visit(struct walk *walk, bool (*visitor)(void *arg, const struct node *node))
{
	uint64_t *none = NULL;
	size_t count = 0;

	if (nodes_select(walk->withdrawal->mount->nodes, visitor, walk, &none, &count) == 0)
		free(none);
}

static void note_inside(struct withdrawal *withdrawal, const struct node *snapshot,
			uint64_t after_id)
{
	struct walk walk = { .withdrawal = withdrawal, .snapshot = snapshot, .after_id = after_id };
	size_t first = withdrawal->name_count;

	visit(&walk, visit_inside);
	for (size_t i = first; i < withdrawal->name_count; i++)
		read_name(withdrawal, &withdrawal->names[i]);
}

/* A directory that is new: is it a snapshot under the DEK?  Names at that depth are plain. */
static void note_directory(struct withdrawal *withdrawal, struct node *node)
{
	struct mount *mount = withdrawal->mount;
	struct place place;
	bool is_snapshot = false;

	if (directory_get(mount->directories, node, &place) == 0) {
		is_snapshot = place.depth == mount->snapshot_depth &&
			      is_snapshot_of(withdrawal, &place);
		directory_put(mount->directories, node);
	}
	if (!is_snapshot)
		return;
	add_node(&withdrawal->snapshots, node);
	note_inside(withdrawal, node, 0);
	struct node *parent = NULL;
	char name[BACKING_NAME_SIZE];

	if (node->id != FUSE_ROOT_ID && nodes_location(mount->nodes, node, &parent, name) >= 0) {
		add_name(withdrawal, parent, name, true);
		nodes_release(mount->nodes, parent);
	}
}

static void note_known(struct withdrawal *withdrawal)
{
	struct nodes *nodes = withdrawal->mount->nodes;

	for (size_t i = 0; i < withdrawal->snapshots.count; i++) {
		struct node *node = nodes_find_identity(nodes,
							&withdrawal->snapshots.list[i].identity);

		if (node)
			note_inside(withdrawal, node, withdrawal->seen_id);
		nodes_release(nodes, node);
	}
}

void withdrawal_note(struct withdrawal *withdrawal)
{
	struct nodes *nodes = withdrawal->mount->nodes;
	struct walk walk = { .withdrawal = withdrawal, .after_id = withdrawal->seen_id };

	visit(&walk, visit_directory);
	note_known(withdrawal);
	for (size_t i = 0; i < walk.directories.count; i++) {
		struct node *node = nodes_find_identity(nodes, &walk.directories.list[i].identity);

		if (node)
			note_directory(withdrawal, node);
		nodes_release(nodes, node);
	}
	free(walk.directories.list);
	withdrawal->seen_id = walk.newest_id;
}

/* ---- Telling --------------------------------------------------------------------------------- */

void withdrawal_tell(struct withdrawal *withdrawal)
{
	struct mount *mount = withdrawal->mount;
	uint64_t *ids = NULL;
	size_t count = 0;

	for (size_t i = 0; i < withdrawal->name_count; i++) {
		if (*withdrawal->names[i].text)
			notifier_entry(mount->notifier, withdrawal->names[i].parent_id,
				       withdrawal->names[i].text);
	}
	for (size_t i = 0; i < withdrawal->inodes.count; i++)
		notifier_inode(mount->notifier, withdrawal->inodes.list[i].id, 0, 0);
	if (nodes_select(mount->nodes, has_pages, withdrawal, &ids, &count) == 0) {
		for (size_t i = 0; i < count; i++)
			notifier_inode(mount->notifier, ids[i], 0, 0);
		free(ids);
	}
	notifier_drain(mount->notifier);
}

void withdrawal_free(struct withdrawal *withdrawal)
{
	free(withdrawal->snapshots.list);
	free(withdrawal->inodes.list);
	free(withdrawal->names);
}
