/* SPDX-License-Identifier: Apache-2.0 */
/* One mount: what all operations on it share. */
#ifndef SNAPCRYPT_FS_MOUNT_SESSION_H
#define SNAPCRYPT_FS_MOUNT_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "fs/mount/directory.h"
#include "fs/mount/fuse.h"
#include "fs/mount/health.h"
#include "fs/mount/invalidate.h"
#include "fs/mount/loop.h"
#include "fs/mount/mount.h"
#include "fs/mount/node.h"
#include "fs/mount/open_file.h"
#include "fs/mount/park.h"
#include "fs/store/store.h"
#include "fs/store/write_queue.h"

/*
 * Lock order: namespace, then an open file, then what node.h and directory.h guard inside.  None is held across a key call or a
 * notification.
 *
 *   namespace_lock   held for reading while an operation uses a place; for writing while names of directories change
 *   is_private       nobody else changes the volume: the kernel may cache for long
 */
struct mount {
	struct store *store;
	const struct mount_options *options;
	struct fuse_session *session;
	pthread_rwlock_t namespace_lock;
	struct nodes *nodes;
	struct directories *directories;
	struct open_files *files;
	pthread_mutex_t handles_lock;
	struct handle *handles;
	struct open_directory *open_directories;
	struct write_queue *queue;
	struct buffer_pool *buffers;
	struct loop *loop;
	struct park *park;
	struct notifier *notifier;
	struct health *health;
	unsigned snapshot_depth;
	bool is_read_only;
	bool is_private;
	bool is_announced;
	atomic_bool has_ended;
	atomic_bool is_serving; /* INIT was answered */
	atomic_bool is_ready_told;
	char device[32]; /* "0:57"; "": not known */
	int end_fd;      /* eventfd: no more requests are read */
	_Atomic uint64_t authentication_failures;
	_Atomic uint64_t io_failures;
};

static inline struct mount *mount_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Let the main thread look at has_ended and the rest. */
void mount_wake(struct mount *mount);

/* How long the kernel may believe what it is told about entries in PLACE, in seconds. */
double mount_timeout(const struct mount *mount, const struct place *place);

#endif
