/* SPDX-License-Identifier: Apache-2.0 */
/* The table of nodes, for node.c and node_walk.c only. */
#ifndef SNAPCRYPT_FS_MOUNT_NODE_INTERNAL_H
#define SNAPCRYPT_FS_MOUNT_NODE_INTERNAL_H

#include <pthread.h>

#include "fs/mount/node.h"

#define ROOT_ID 1

struct nodes {
	pthread_mutex_t lock;
	struct node **by_id;
	struct node **by_identity;
	size_t buckets; /* a power of two */
	size_t count;
	uint64_t next_id;
	node_freed freed;
	void *arg;
};

#endif
