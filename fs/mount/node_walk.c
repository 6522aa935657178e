/* SPDX-License-Identifier: Apache-2.0 */
/* Walks over the nodes: from one up to the root, and over all of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount/node_internal.h"

static char *path_locked(const struct node *node, const char *name, unsigned *ret_depth)
{
	size_t size = name ? strlen(name) + 1 : 0;
	unsigned depth = 0;

	for (const struct node *at = node; at->id != ROOT_ID; at = at->names->parent) {
		if (!at->names)
			return NULL;
		size += strlen(at->names->backing) + 1;
		depth++;
	}

	char *path = malloc(size + 1);
	size_t end = size ? size - 1 : 0;

	if (!path)
		return NULL;
	path[end] = '\0';
	if (name) {
		end -= strlen(name);
		memcpy(path + end, name, strlen(name));
	}
	for (const struct node *at = node; at->id != ROOT_ID; at = at->names->parent) {
		size_t length = strlen(at->names->backing);

		if (end < size - 1)
			path[--end] = '/';
		end -= length;
		memcpy(path + end, at->names->backing, length);
	}
	if (ret_depth)
		*ret_depth = depth;
	return path;
}

char *nodes_path(struct nodes *nodes, const struct node *node, const char *name,
		 unsigned *ret_depth)
{
	pthread_mutex_lock(&nodes->lock);
	char *path = path_locked(node, name, ret_depth);

	pthread_mutex_unlock(&nodes->lock);
	return path;
}

int nodes_select(struct nodes *nodes, bool (*wanted)(void *arg, const struct node *node), void *arg,
		 uint64_t **ret_ids, size_t *ret_count)
{
	size_t count = 0;

	pthread_mutex_lock(&nodes->lock);
	uint64_t *ids = calloc(nodes->count, sizeof(*ids));

	for (size_t i = 0; ids && i < nodes->buckets; i++) {
		for (struct node *node = nodes->by_id[i]; node; node = node->next_by_id) {
			if (wanted(arg, node))
				ids[count++] = node->id;
		}
	}
	pthread_mutex_unlock(&nodes->lock);
	if (!ids)
		return -ENOMEM;
	*ret_ids = ids;
	*ret_count = count;
	return 0;
}
