/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel has to forget when a DEK is withdrawn: pages under it, and names and attributes in its snapshot. */
#ifndef SNAPCRYPT_FS_MOUNT_WITHDRAWAL_H
#define SNAPCRYPT_FS_MOUNT_WITHDRAWAL_H

#include "fs/mount/session.h"

struct withdrawn_name;

/* The id may be gone when it is used, the identity finds the node if it is there. */
struct withdrawn_node {
	uint64_t id;
	struct node_identity identity;
};

struct withdrawn_nodes {
	struct withdrawn_node *list;
	size_t count;
	size_t room;
};

/*
 * Zero but for the first three.
 *
 *   number    of the DEK in node.dek
 *   seen_id   nodes up to this one are noted
 */
struct withdrawal {
	struct mount *mount;
	const struct uuid *dek_id;
	uint16_t number;
	struct withdrawn_nodes snapshots; /* directories of snapshots under the DEK */
	struct withdrawn_nodes inodes;
	struct withdrawn_name *names;
	size_t name_count;
	size_t name_room;
	uint64_t seen_id;
};

/*
 * Note what the kernel knows now, and did not when this was called before.  Names can be read while the key is here.  The namespace
 * lock is held.
 */
void withdrawal_note(struct withdrawal *withdrawal);

/* Make the kernel forget it, and the pages under the DEK; no lock is held. */
void withdrawal_tell(struct withdrawal *withdrawal);
void withdrawal_free(struct withdrawal *withdrawal);

#endif
