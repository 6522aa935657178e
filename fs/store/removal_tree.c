/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing trees of any size and depth: first out of sight in one step, then emptied.  A directory inside is moved up instead of
 * being descended into, so that no depth needs more than two descriptors, and what an interruption leaves is found again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/removal_internal.h"
#include "kms/crypto/random.h"

#define TMP "tmp"

static int open_directory(int parent_fd, const char *name)
{
	return open_beneath(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
}

/* Rename SOURCE to a name in TMP_FD that nothing has. */
static int move_into(int parent_fd, const char *name, int tmp_fd)
{
	char moved[sizeof(REMOVED_PREFIX) + UUID_TEXT_SIZE];
	char text[UUID_TEXT_SIZE];
	struct uuid id;
	int r = random_uuid(&id);

	if (r < 0)
		return r;
	uuid_format(&id, text);
	snprintf(moved, sizeof(moved), REMOVED_PREFIX "%s", text);
	return renameat(parent_fd, name, tmp_fd, moved) < 0 ? -errno : 0;
}

int removal_move_aside(struct store *store, int parent_fd, const char *name)
{
	int r = control_make_directory(store->control_fd, TMP);
	int tmp_fd;

	if (r < 0)
		return r;
	tmp_fd = open_directory(store->control_fd, TMP);
	if (tmp_fd < 0)
		return tmp_fd;
	r = move_into(parent_fd, name, tmp_fd);
	if (r == 0 && (fsync(tmp_fd) < 0 || fsync(parent_fd) < 0))
		r = -errno;
	close(tmp_fd);
	return r;
}

/* Whoever is not root needs rights of his own to empty a directory and to move it. */
static int open_writable(int parent_fd, const char *name)
{
	int fd = open_directory(parent_fd, name);
	struct stat st;

	if (fd == -EACCES && fchmodat(parent_fd, name, S_IRWXU, 0) == 0)
		fd = open_directory(parent_fd, name);
	if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & S_IRWXU) != S_IRWXU)
		(void)!fchmod(fd, S_IRWXU);
	return fd;
}

/* One entry: a directory is moved up. */
static int take_out(int fd, const char *name, int tmp_fd)
{
	int r;

	if (unlinkat(fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	r = move_into(fd, name, tmp_fd);
	if (r == -EACCES && fchmodat(fd, name, S_IRWXU, 0) == 0)
		r = move_into(fd, name, tmp_fd);
	return r;
}

static int empty_directory(int fd, int tmp_fd)
{
	char **names = NULL;
	size_t count = 0;
	int r = directory_names(fd, ".", NULL, &names, &count);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = take_out(fd, names[i], tmp_fd);
	names_free(names, count);
	return r;
}

static int remove_one(int tmp_fd, const char *name)
{
	int fd;
	int r;

	if (unlinkat(tmp_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno == ENOTDIR)
		return unlinkat(tmp_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	fd = open_writable(tmp_fd, name);
	if (fd < 0)
		return fd;
	r = empty_directory(fd, tmp_fd);
	close(fd);
	if (r == 0 && unlinkat(tmp_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	/* Somebody who still had the directory open has put something into it: it is looked at again. */
	return r == -ENOTEMPTY ? 0 : r;
}

static bool is_removed(const char *name)
{
	return strncmp(name, REMOVED_PREFIX, strlen(REMOVED_PREFIX)) == 0;
}

int removal_empty(struct store *store)
{
	int tmp_fd = open_directory(store->control_fd, TMP);
	size_t count = 1;
	int r = 0;

	if (tmp_fd < 0)
		return tmp_fd == -ENOENT ? 0 : tmp_fd;
	while (r == 0 && count > 0) {
		char **names = NULL;

		count = 0;
		r = directory_names(tmp_fd, ".", is_removed, &names, &count);
		for (size_t i = 0; r == 0 && i < count; i++)
			r = remove_one(tmp_fd, names[i]);
		names_free(names, count);
	}
	close(tmp_fd);
	return r;
}

int removal_drop_dek(struct store *store, const struct uuid *dek_id)
{
	char id[UUID_TEXT_SIZE];
	int fd = open_directory(store->control_fd, "keys");
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	uuid_format(dek_id, id);
	r = removal_move_aside(store, fd, id);
	close(fd);
	if (r == -ENOENT)
		r = 0;
	if (r == 0)
		r = removal_empty(store);
	if (r < 0)
		return r;
	if (store->deks)
		dek_ring_revoke(store->deks, dek_id, KEY_STATE_DELETED);
	r = trust_forget_dek(store->trust, &store->volume.volume, dek_id);
	return r == -ENOENT ? 0 : r;
}
