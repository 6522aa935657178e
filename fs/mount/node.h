/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inodes that the kernel knows.  A node id is a number that is never used twice.  A node is found below by
 * (parent, backing name) and is verified by (inode, birth time); hard links share one node.  It holds no descriptor.
 * An object of a sealed snapshot is identified by its place in the manifest instead, and found by its plain name.
 *
 * A node lives as long as the kernel, a handle, an operation or a child needs it.  Thread-safe.
 */
#ifndef SNAPCRYPT_FS_MOUNT_NODE_H
#define SNAPCRYPT_FS_MOUNT_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "fs/store/place.h"
#include "meta/macros.h"

struct directory;
struct open_file;
struct node;

/* What makes an inode itself.  A lower filesystem without birth times gives 0. */
struct node_identity {
	uint64_t inode;
	int64_t birth_ns;
};

/* One name of a node, in an object of a sealed snapshot the plain one; the node refers to its parent. */
struct node_name {
	struct node_name *next;
	struct node *parent;
	char backing[];
};

enum node_flag {
	NODE_IS_CACHE_VALID = 1,    /* nothing was written since the last cached open */
	NODE_HAS_COVERED_SIZE = 2,  /* covered_size is known (struct file_history) */
	NODE_HAS_NO_CAPABILITY = 4, /* security.capability is known to be absent */
	NODE_IS_RETIRED = 8,        /* its last name is gone: the inode number may be used again */
	NODE_IS_SEALED = 16,   /* an object of a sealed snapshot, as its manifest says: sealed.h */
	NODE_IS_REPORTED = 32, /* what is wrong with it below has been logged */
};

/*
 * 200,000 of these are held while a large tree is listed: keep it small.
 *
 *   names   the first one is used; the root has none
 *   sealed  with NODE_IS_SEALED: its snapshot, which lives as long as the node of its directory
 *   dek     1 + index of the DEK whose plaintext pages the kernel may hold, 0: none
 */
struct node {
	struct node *next_by_id;
	struct node *next_by_identity;
	struct node_name *names;
	union {
		struct directory *directory;
		struct open_file *file;
	};
	uint64_t id;
	struct node_identity identity;
	uint64_t lookups;
	union {
		uint64_t covered_size;
		struct snapshot *sealed;
	};
	uint32_t references;
	uint16_t dek;
	uint8_t type; /* S_IFMT bits >> 12 */
	_Atomic uint8_t flags;
};

static inline mode_t node_type(const struct node *node)
{
	return (mode_t)node->type << 12;
}

static inline bool node_has(const struct node *node, enum node_flag flag)
{
	return (node->flags & flag) != 0;
}

void node_set(struct node *node, enum node_flag flag);
void node_clear(struct node *node, enum node_flag flag);

struct nodes;

/* Called for each node just before it is freed, without any lock: its directory can be closed. */
typedef void (*node_freed)(void *arg, struct node *node);

MUST_CHECK int nodes_create(const struct node_identity *root, node_freed freed, void *arg,
			    struct nodes **ret_nodes);
void nodes_free(struct nodes *nodes);
size_t nodes_count(struct nodes *nodes);

/* The node of a request: the kernel keeps it until it has the answer.  NULL: none of ours. */
struct node *nodes_find(struct nodes *nodes, uint64_t id);

/* The node of an inode if the kernel knows it, with one reference more; else NULL. */
struct node *nodes_find_identity(struct nodes *nodes, const struct node_identity *identity);

/*
 * Where a node comes from.
 *
 *   name     backing name in PARENT; of an object of a sealed snapshot the plain one
 *   sealed   NULL: not one of a sealed snapshot
 */
struct node_origin {
	struct node *parent;
	const char *name;
	struct node_identity identity;
	mode_t mode;
	struct snapshot *sealed;
};

/* Count one lookup by the kernel; makes the node or adds the name where they are new. */
MUST_CHECK int nodes_remember(struct nodes *nodes, const struct node_origin *origin,
			      struct node **ret_node);
void nodes_forget(struct nodes *nodes, uint64_t id, uint64_t count);

void nodes_hold(struct nodes *nodes, struct node *node);
void nodes_release(struct nodes *nodes, struct node *node); /* accepts NULL */

/*
 * Where a node is: its parent, with one reference more, and its name there.  1: it has other names, too.  -ENOENT: it
 * has no name any more.
 */
MUST_CHECK int nodes_location(struct nodes *nodes, const struct node *node,
			      struct node **ret_parent, char backing[static BACKING_NAME_SIZE]);

/* Names change with the namespace.  nodes_retire(): the inode is gone but for those who have it open. */
MUST_CHECK int nodes_add_name(struct nodes *nodes, struct node *node, struct node *parent,
			      const char *backing);
void nodes_remove_name(struct nodes *nodes, struct node *node, const struct node *parent,
		       const char *backing);
void nodes_retire(struct nodes *nodes, struct node *node);

/* Backing path below the root of the mount, with NAME appended unless NULL; free() it.  NULL without memory or name. */
char *nodes_path(struct nodes *nodes, const struct node *node, const char *name,
		 unsigned *ret_depth);

/*
 * Ids of the nodes for which WANTED is true (called under the table's lock: no calls back).  free() the array.
 */
MUST_CHECK int nodes_select(struct nodes *nodes, bool (*wanted)(void *arg, const struct node *node),
			    void *arg, uint64_t **ret_ids, size_t *ret_count);

#endif
