/* SPDX-License-Identifier: Apache-2.0 */
/* Removing names: unlink and rmdir, of snapshots too. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/entry_internal.h"
#include "fs/store/name_internal.h"
#include "kms/crypto/random.h"
#include "meta/records/identity.h"

#define TMP_DIRECTORY ".snapcrypt/tmp"

int entry_unlink(const struct place *parent, const char *name)
{
	struct backing_name backing;
	int r = snapshot_may_write(parent->snapshot);

	if (r == 0)
		r = name_encode(parent, name, &backing);
	if (r < 0)
		return r;
	if (unlinkat(parent->fd, backing.text, 0) < 0)
		return -errno;
	name_forget(parent, &backing);
	return 0;
}

/* ---- Left-over sidecars ---------------------------------------------------------------------- */

/* Does a directory hold sidecars only, all of them without their entry?  Those of a crash. */
static bool holds_only_orphans(DIR *directory)
{
	const struct dirent *entry;
	char owner[NAME_LONG_SIZE + 1];
	struct stat st;
	bool is_one = false;

	rewinddir(directory);
	while ((entry = readdir(directory))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (!name_is_sidecar(entry->d_name, owner) ||
		    fstatat(dirfd(directory), owner, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return false;
		is_one = true;
	}
	return is_one;
}

static void remove_orphans(DIR *directory)
{
	const struct dirent *entry;

	rewinddir(directory);
	while ((entry = readdir(directory))) {
		/* What cannot be removed makes the directory's removal fail. */
		if (name_is_sidecar(entry->d_name, NULL) &&
		    unlinkat(dirfd(directory), entry->d_name, 0) < 0)
			return;
	}
}

static DIR *open_directory(int dir_fd, const char *name)
{
	const int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *directory;

	if (fd < 0)
		return NULL;
	directory = fdopendir(fd);
	if (!directory)
		close(fd);
	return directory;
}

/* The user sees an empty directory: so it can be removed. */
static int remove_with_orphans(const struct place *parent, const char *backing)
{
	DIR *directory = open_directory(parent->fd, backing);
	bool is_removable;

	if (!directory)
		return -errno;
	is_removable = holds_only_orphans(directory);
	if (is_removable)
		remove_orphans(directory);
	closedir(directory);
	if (!is_removable)
		return -ENOTEMPTY;
	return unlinkat(parent->fd, backing, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int entry_rmdir(const struct place *parent, const char *name)
{
	struct backing_name backing;
	int r = snapshot_may_write(parent->snapshot);

	if (r == 0)
		r = name_encode(parent, name, &backing);
	if (r < 0)
		return r;
	if (entry_is_snapshot_level(parent))
		return entry_remove_snapshot(parent, backing.text);
	if (unlinkat(parent->fd, backing.text, AT_REMOVEDIR) < 0) {
		r = -errno;
		if ((r == -ENOTEMPTY || r == -EEXIST) &&
		    snapshot_has_encrypted_names(parent->snapshot))
			r = remove_with_orphans(parent, backing.text);
		if (r < 0)
			return r;
	}
	name_forget(parent, &backing);
	return 0;
}

/* ---- Snapshots ------------------------------------------------------------------------------- */

int entry_open_snapshot(const struct place *parent, const char *name,
			struct snapshot **ret_snapshot)
{
	const int fd = openat(parent->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	struct snapshot *snapshot = NULL;
	char path[PATH_MAX];
	int r;

	if (fd < 0)
		return errno == ELOOP ? -ENOTDIR : -errno;
	r = entry_path(parent, name, path);
	if (r == 0)
		r = snapshot_open(parent->store, fd, path, &snapshot);
	close(fd);
	if (r < 0)
		return r;

	const enum snapshot_state state = snapshot_state(snapshot);

	if (state == SNAPSHOT_FOREIGN)
		r = -EACCES;
	else if (state == SNAPSHOT_DUPLICATE ||
		 (!snapshot_is_encrypted(snapshot) && store_is_encrypted(parent->store)))
		r = -EROFS;
	if (r < 0) {
		snapshot_put(snapshot);
		return r;
	}
	*ret_snapshot = snapshot;
	return 0;
}

/* Nothing in it but its identity and what a crash has left. */
static int check_empty(int dir_fd, const char *name)
{
	DIR *directory = open_directory(dir_fd, name);
	char owner[NAME_LONG_SIZE + 1];
	const struct dirent *entry;
	struct stat st;
	int r = 0;

	if (!directory)
		return -errno;
	while (r == 0 && (entry = readdir(directory))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    strcmp(entry->d_name, IDENTITY_FILE) == 0)
			continue;
		if (!name_is_sidecar(entry->d_name, owner) ||
		    fstatat(dirfd(directory), owner, &st, AT_SYMLINK_NOFOLLOW) == 0)
			r = -ENOTEMPTY;
	}
	closedir(directory);
	return r;
}

/* A directory in tmp/: what is not removed now, the next writable mount removes. */
static void remove_moved(int dir_fd, const char *name)
{
	DIR *directory = open_directory(dir_fd, name);

	if (!directory)
		return;
	remove_orphans(directory);
	if (unlinkat(dirfd(directory), IDENTITY_FILE, 0) == 0)
		(void)unlinkat(dir_fd, name, AT_REMOVEDIR);
	closedir(directory);
}

static int move_aside(const struct place *parent, const char *name, int tmp_fd, const char *moved)
{
	int r;

	if (renameat2(parent->fd, name, tmp_fd, moved, RENAME_NOREPLACE) < 0 &&
	    (errno != EINVAL || renameat(parent->fd, name, tmp_fd, moved) < 0))
		return -errno;
	/* Somebody may have made a file in it meanwhile. */
	r = check_empty(tmp_fd, moved);
	if (r < 0 && renameat(tmp_fd, moved, parent->fd, name) < 0)
		return -errno;
	return r;
}

static int remove_empty(const struct place *parent, const char *name)
{
	char moved[UUID_TEXT_SIZE];
	struct uuid random;
	int r = random_uuid(&random);
	int tmp_fd;

	if (r < 0)
		return r;
	uuid_format(&random, moved);
	tmp_fd = openat(store_root_fd(parent->store), TMP_DIRECTORY,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (tmp_fd < 0)
		return -errno;
	r = move_aside(parent, name, tmp_fd, moved);
	if (r == 0)
		remove_moved(tmp_fd, moved);
	close(tmp_fd);
	return r;
}

int entry_remove_snapshot(const struct place *parent, const char *name)
{
	struct snapshot *snapshot = NULL;
	int r = entry_open_snapshot(parent, name, &snapshot);

	if (r < 0)
		return r;
	if (snapshot_state(snapshot) == SNAPSHOT_SEALED &&
	    store_volume(parent->store)->delete_sealed != DELETE_SEALED_MOUNT)
		r = -EROFS;
	if (r == 0)
		r = check_empty(parent->fd, name);
	if (r == 0)
		r = remove_empty(parent, name);
	if (r == 0)
		snapshot_renamed(snapshot, NULL);
	snapshot_put(snapshot);
	return r;
}
