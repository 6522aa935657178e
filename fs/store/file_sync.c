/* SPDX-License-Identifier: Apache-2.0 */
/* Flush and fsync.  What must be durable when: architecture of the journal in file_internal.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/file_internal.h"

int file_flush(struct file *file)
{
	int queued = queue_drain(file);
	int r = 0;

	if (file->is_encrypted && file->is_writable) {
		pthread_rwlock_wrlock(&file->lock);
		r = file->failure ? file->failure : commit_pending(file);
		pthread_rwlock_unlock(&file->lock);
	}
	return r < 0 ? r : queued;
}

/* ---- the directory entry of a new file -------------------------------------------------------- */

/* Is our file still where its path says? */
static bool is_in_place(const struct file *file, int root_fd)
{
	struct stat own;
	struct stat there;

	return fstat(file->fd, &own) == 0 &&
	       fstatat(root_fd, file->path, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       own.st_dev == there.st_dev && own.st_ino == there.st_ino;
}

int sync_entry(struct file *file)
{
	int root_fd = store_root_fd(file->store);
	char *path = strdup(file->path);
	int r = 0;

	if (!path)
		return -ENOMEM;
	if (is_in_place(file, root_fd)) {
		/* From its directory up: mkdir of those may not be durable either. */
		for (char *slash = strrchr(path, '/'); slash && r == 0;
		     slash = strrchr(path, '/')) {
			*slash = '\0';
			r = directory_sync(root_fd, path);
		}
		if (r == 0)
			r = directory_sync(root_fd, ".");
	} else {
		/* Renamed or removed meanwhile: wherever it is, sync that too. */
		r = syncfs(file->fd) < 0 ? -errno : 0;
	}
	free(path);
	return r;
}

static int sync_data(const struct file *file, bool is_data_only)
{
	int r = is_data_only ? fdatasync(file->fd) : fsync(file->fd);

	return r < 0 ? -errno : 0;
}

/* ---- fsync ------------------------------------------------------------------------------------ */

/* Whatever is written from now on counts as covered already, so the lock need not be held. */
static int sync_direct(struct file *file, bool is_data_only)
{
	set_covered(file, file->size);
	pthread_rwlock_unlock(&file->lock);
	int r = sync_data(file, is_data_only);

	pthread_rwlock_wrlock(&file->lock);
	return r;
}

/* The journal is durable and there is nothing beside it. */
static int sync_journaled(struct file *file, bool is_data_only)
{
	int r = commit_pending(file);

	if (r < 0)
		return r;
	file->covered_size = file->size;
	file->journaled_size = 0;
	return is_data_only ? 0 : sync_data(file, false);
}

static int sync_mixed(struct file *file, bool is_data_only)
{
	int r = sync_data(file, is_data_only);

	return r < 0 ? r : retire(file);
}

static int sync_locked(struct file *file, bool is_data_only)
{
	if (file->failure)
		return file->failure;
	if (!file->journal)
		return sync_direct(file, is_data_only);
	if (file->direct_from == NEVER_DIRECT)
		return sync_journaled(file, is_data_only);
	return sync_mixed(file, is_data_only);
}

int file_sync(struct file *file, bool is_data_only)
{
	int queued = queue_drain(file);
	int r;

	if (!file->is_encrypted || !file->is_writable) {
		r = sync_data(file, is_data_only);
	} else {
		pthread_rwlock_wrlock(&file->lock);
		r = sync_locked(file, is_data_only);
		pthread_rwlock_unlock(&file->lock);
	}
	if (r == 0 && file->needs_entry_sync) {
		pthread_rwlock_rdlock(&file->lock);
		r = sync_entry(file);
		pthread_rwlock_unlock(&file->lock);
		if (r == 0)
			file->needs_entry_sync = false;
	}
	return r < 0 ? r : queued;
}
