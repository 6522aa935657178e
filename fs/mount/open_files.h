/* SPDX-License-Identifier: Apache-2.0 */
/* The set of open files, for the two files that work on it. */
#ifndef SNAPCRYPT_FS_MOUNT_OPEN_FILES_H
#define SNAPCRYPT_FS_MOUNT_OPEN_FILES_H

#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

#include "fs/mount/open_file.h"
#include "meta/uuid.h"

/* REFUSED: why nothing under it may be opened, 0 for those in use. */
struct open_files_dek {
	struct uuid id;
	int refused;
};

/*
 *   lock     guards the list, pins and node->file; nothing is called while it is held, but for node references
 *   deks     by number - 1
 *   device   of the backing directory: everything is on it
 */
struct open_files {
	pthread_mutex_t lock;
	struct nodes *nodes;
	struct write_queue *queue;
	struct open_file *first;
	size_t count;
	struct open_files_dek *deks;
	size_t dek_count;
	dev_t device;
};

/* The number of a DEK; the lock is held. */
uint16_t open_files_number_locked(struct open_files *files, const struct uuid *dek_id);

/* Before closing: a descriptor that was dropped without a close(2) may leave queued writes behind. */
int write_queue_settle_closing(struct open_files *files, struct open_file *open);

#endif
