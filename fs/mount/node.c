/* SPDX-License-Identifier: Apache-2.0 */
/* The inodes that the kernel knows: two hash tables over one set of nodes, by id and by identity. */
#include "fs/mount/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount/node_internal.h"

#define FIRST_BUCKETS 1024

void node_set(struct node *node, enum node_flag flag)
{
	node->flags |= (uint8_t)flag;
}

void node_clear(struct node *node, enum node_flag flag)
{
	node->flags &= (uint8_t)~flag;
}

static size_t mix(uint64_t value)
{
	value *= 0x9e3779b97f4a7c15ULL;
	return (size_t)(value >> 32);
}

static struct node **id_bucket(const struct nodes *nodes, uint64_t id)
{
	return &nodes->by_id[mix(id) & (nodes->buckets - 1)];
}

static struct node **identity_bucket(const struct nodes *nodes,
				     const struct node_identity *identity)
{
	return &nodes->by_identity[mix(identity->inode ^ (uint64_t)identity->birth_ns) &
				   (nodes->buckets - 1)];
}

static bool identity_equal(const struct node_identity *a, const struct node_identity *b)
{
	return a->inode == b->inode && a->birth_ns == b->birth_ns;
}

static void insert(struct nodes *nodes, struct node *node)
{
	struct node **by_id = id_bucket(nodes, node->id);

	node->next_by_id = *by_id;
	*by_id = node;
	if (node_has(node, NODE_IS_RETIRED))
		return;
	struct node **by_identity = identity_bucket(nodes, &node->identity);

	node->next_by_identity = *by_identity;
	*by_identity = node;
}

static void remove_identity(struct nodes *nodes, struct node *node)
{
	for (struct node **at = identity_bucket(nodes, &node->identity); *at;
	     at = &(*at)->next_by_identity) {
		if (*at != node)
			continue;
		*at = node->next_by_identity;
		return;
	}
}

static void remove_id(struct nodes *nodes, struct node *node)
{
	for (struct node **at = id_bucket(nodes, node->id); *at; at = &(*at)->next_by_id) {
		if (*at != node)
			continue;
		*at = node->next_by_id;
		return;
	}
}

/* Larger tables when there is memory for them; longer chains otherwise. */
static void grow(struct nodes *nodes)
{
	size_t buckets = nodes->buckets * 2;
	struct node **by_id = calloc(buckets, sizeof(struct node *));
	struct node **by_identity = calloc(buckets, sizeof(struct node *));
	struct node **old = nodes->by_id;
	size_t old_buckets = nodes->buckets;

	if (!by_id || !by_identity) {
		free(by_id);
		free(by_identity);
		return;
	}
	free(nodes->by_identity);
	nodes->by_id = by_id;
	nodes->by_identity = by_identity;
	nodes->buckets = buckets;
	for (size_t i = 0; i < old_buckets; i++) {
		for (struct node *node = old[i], *next; node; node = next) {
			next = node->next_by_id;
			insert(nodes, node);
		}
	}
	free(old);
}

static struct node *node_new(struct nodes *nodes, const struct node_identity *identity, mode_t mode)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->id = nodes->next_id++;
	node->identity = *identity;
	node->type = (uint8_t)((mode & S_IFMT) >> 12);
	return node;
}

static struct node *node_from(struct nodes *nodes, const struct node_origin *origin)
{
	struct node *node = node_new(nodes, &origin->identity, origin->mode);

	if (node && origin->sealed) {
		node->sealed = origin->sealed;
		node_set(node, NODE_IS_SEALED);
	}
	return node;
}

int nodes_create(const struct node_identity *root, node_freed freed, void *arg,
		 struct nodes **ret_nodes)
{
	struct nodes *nodes = calloc(1, sizeof(*nodes));

	if (!nodes)
		return -ENOMEM;
	pthread_mutex_init(&nodes->lock, NULL);
	nodes->buckets = FIRST_BUCKETS;
	nodes->by_id = calloc(FIRST_BUCKETS, sizeof(struct node *));
	nodes->by_identity = calloc(FIRST_BUCKETS, sizeof(struct node *));
	nodes->next_id = ROOT_ID;
	nodes->freed = freed;
	nodes->arg = arg;

	struct node *node = nodes->by_id && nodes->by_identity ? node_new(nodes, root, S_IFDIR)
							       : NULL;

	if (!node) {
		free(nodes->by_id);
		free(nodes->by_identity);
		free(nodes);
		return -ENOMEM;
	}
	node->references = 1;
	insert(nodes, node);
	nodes->count = 1;
	*ret_nodes = nodes;
	return 0;
}

static void free_names(struct node *node)
{
	for (struct node_name *name = node->names, *next; name; name = next) {
		next = name->next;
		free(name);
	}
}

void nodes_free(struct nodes *nodes)
{
	if (!nodes)
		return;
	for (size_t i = 0; i < nodes->buckets; i++) {
		for (struct node *node = nodes->by_id[i], *next; node; node = next) {
			next = node->next_by_id;
			nodes->freed(nodes->arg, node);
			free_names(node);
			free(node);
		}
	}
	pthread_mutex_destroy(&nodes->lock);
	free(nodes->by_id);
	free(nodes->by_identity);
	free(nodes);
}

size_t nodes_count(struct nodes *nodes)
{
	pthread_mutex_lock(&nodes->lock);
	size_t count = nodes->count;

	pthread_mutex_unlock(&nodes->lock);
	return count;
}

static struct node *find_id(const struct nodes *nodes, uint64_t id)
{
	struct node *node = *id_bucket(nodes, id);

	while (node && node->id != id)
		node = node->next_by_id;
	return node;
}

static struct node *find_identity(const struct nodes *nodes, const struct node_identity *identity)
{
	struct node *node = *identity_bucket(nodes, identity);

	while (node && !identity_equal(&node->identity, identity))
		node = node->next_by_identity;
	return node;
}

struct node *nodes_find(struct nodes *nodes, uint64_t id)
{
	pthread_mutex_lock(&nodes->lock);
	struct node *node = find_id(nodes, id);

	pthread_mutex_unlock(&nodes->lock);
	return node;
}

struct node *nodes_find_identity(struct nodes *nodes, const struct node_identity *identity)
{
	pthread_mutex_lock(&nodes->lock);
	struct node *node = find_identity(nodes, identity);

	if (node)
		node->references++;
	pthread_mutex_unlock(&nodes->lock);
	return node;
}

/*
 * Unlink NODE from the tables if nobody needs it, and its parents if that was all they were kept for.  They are chained
 * to *DEAD through next_by_id, to be freed without the lock.
 */
static void bury(struct nodes *nodes, struct node *node, struct node **dead)
{
	struct node *pending = NULL;

	if (node->lookups || node->references)
		return;
	remove_id(nodes, node);
	if (!node_has(node, NODE_IS_RETIRED))
		remove_identity(nodes, node);
	node->next_by_id = pending;
	pending = node;
	while (pending) {
		struct node *next = pending;

		pending = next->next_by_id;
		next->next_by_id = *dead;
		*dead = next;
		nodes->count--;
		for (struct node_name *name = next->names; name; name = name->next) {
			struct node *parent = name->parent;

			if (--parent->references || parent->lookups)
				continue;
			remove_id(nodes, parent);
			if (!node_has(parent, NODE_IS_RETIRED))
				remove_identity(nodes, parent);
			parent->next_by_id = pending;
			pending = parent;
		}
	}
}

static void free_dead(struct nodes *nodes, struct node *dead)
{
	for (struct node *next; dead; dead = next) {
		next = dead->next_by_id;
		nodes->freed(nodes->arg, dead);
		free_names(dead);
		free(dead);
	}
}

static struct node_name *find_name(const struct node *node, const struct node *parent,
				   const char *backing)
{
	struct node_name *name = node->names;

	while (name && (name->parent != parent || strcmp(name->backing, backing) != 0))
		name = name->next;
	return name;
}

static int add_name(struct node *node, struct node *parent, const char *backing)
{
	if (find_name(node, parent, backing))
		return 0;

	size_t size = strlen(backing) + 1;
	struct node_name *name = malloc(sizeof(*name) + size);

	if (!name)
		return -ENOMEM;
	memcpy(name->backing, backing, size);
	name->parent = parent;
	parent->references++;
	name->next = node->names;
	node->names = name;
	return 0;
}

int nodes_remember(struct nodes *nodes, const struct node_origin *origin, struct node **ret_node)
{
	int r = 0;

	pthread_mutex_lock(&nodes->lock);
	struct node *node = find_identity(nodes, &origin->identity);
	struct node *made = NULL;

	if (!node) {
		made = node_from(nodes, origin);
		node = made;
	}
	r = node ? add_name(node, origin->parent, origin->name) : -ENOMEM;
	if (r < 0) {
		free(made);
		pthread_mutex_unlock(&nodes->lock);
		return r;
	}
	if (made) {
		if (nodes->count >= nodes->buckets)
			grow(nodes);
		insert(nodes, made);
		nodes->count++;
	}
	node->lookups++;
	*ret_node = node;
	pthread_mutex_unlock(&nodes->lock);
	return 0;
}

void nodes_forget(struct nodes *nodes, uint64_t id, uint64_t count)
{
	struct node *dead = NULL;

	pthread_mutex_lock(&nodes->lock);
	struct node *node = find_id(nodes, id);

	if (node) {
		node->lookups -= count < node->lookups ? count : node->lookups;
		bury(nodes, node, &dead);
	}
	pthread_mutex_unlock(&nodes->lock);
	free_dead(nodes, dead);
}

void nodes_hold(struct nodes *nodes, struct node *node)
{
	pthread_mutex_lock(&nodes->lock);
	node->references++;
	pthread_mutex_unlock(&nodes->lock);
}

void nodes_release(struct nodes *nodes, struct node *node)
{
	struct node *dead = NULL;

	if (!node)
		return;
	pthread_mutex_lock(&nodes->lock);
	node->references--;
	bury(nodes, node, &dead);
	pthread_mutex_unlock(&nodes->lock);
	free_dead(nodes, dead);
}

int nodes_location(struct nodes *nodes, const struct node *node, struct node **ret_parent,
		   char backing[static BACKING_NAME_SIZE])
{
	int r = -ENOENT;

	pthread_mutex_lock(&nodes->lock);
	if (node->names) {
		strncpy(backing, node->names->backing, BACKING_NAME_SIZE - 1);
		backing[BACKING_NAME_SIZE - 1] = '\0';
		*ret_parent = node->names->parent;
		node->names->parent->references++;
		r = node->names->next != NULL;
	}
	pthread_mutex_unlock(&nodes->lock);
	return r;
}

int nodes_add_name(struct nodes *nodes, struct node *node, struct node *parent, const char *backing)
{
	pthread_mutex_lock(&nodes->lock);
	int r = add_name(node, parent, backing);

	pthread_mutex_unlock(&nodes->lock);
	return r;
}

void nodes_remove_name(struct nodes *nodes, struct node *node, const struct node *parent,
		       const char *backing)
{
	struct node *dead = NULL;

	pthread_mutex_lock(&nodes->lock);
	struct node_name *name = find_name(node, parent, backing);

	for (struct node_name **at = &node->names; name && *at; at = &(*at)->next) {
		if (*at != name)
			continue;
		*at = name->next;
		break;
	}
	if (name) {
		name->parent->references--;
		bury(nodes, name->parent, &dead);
	}
	pthread_mutex_unlock(&nodes->lock);
	free(name);
	free_dead(nodes, dead);
}

void nodes_retire(struct nodes *nodes, struct node *node)
{
	pthread_mutex_lock(&nodes->lock);
	if (!node_has(node, NODE_IS_RETIRED)) {
		remove_identity(nodes, node);
		node_set(node, NODE_IS_RETIRED);
	}
	pthread_mutex_unlock(&nodes->lock);
}
