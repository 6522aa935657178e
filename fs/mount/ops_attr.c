/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes: getattr and setattr, to the nanosecond, on the backing object. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/mount/ops.h"
#include "fs/mount/reply.h"
#include "fs/mount/sealed.h"
#include "fs/store/object.h"
#include "fs/store/snapshot.h"

/* An open file tells by itself, also when it has no name any more. */
static int getattr_open(struct mount *mount, struct open_file *open, struct stat *ret_stat)
{
	int r = open_file_use(open);

	if (r < 0)
		return r;
	if (open->is_writable) {
		/* Flushed, so that the times are those of the last write. */
		if (open_file_is_busy(mount->files, open))
			loop_expect_delay();
		r = open_file_flush(mount->files, open);
	}
	if (r == 0 && fstat(file_fd(open->file), ret_stat) < 0)
		r = -errno;
	if (r == 0)
		ret_stat->st_size = (off_t)file_size(open->file);
	open_file_done(open);
	return r;
}

static int getattr_named(struct mount *mount, fuse_ino_t id, struct stat *ret_stat,
			 double *ret_timeout)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_locate(&scope, mount, id);
	struct attr attr;

	if (r < 0)
		return r;
	if (scope.sealed)
		return sealed_attr(&scope, ret_stat, ret_timeout);
	r = scope_attr(&scope, &attr);
	if (r < 0)
		return r;
	*ret_stat = attr.stat;
	*ret_timeout = *scope.backing ? mount_timeout(mount, &scope.place) : 1.0;
	return 0;
}

static int getattr(struct mount *mount, fuse_ino_t id, struct stat *ret_stat, double *ret_timeout)
{
	struct node *node = nodes_find(mount->nodes, id);
	struct open_file *open = node ? open_file_find(mount->files, node) : NULL;
	int r = -EUNATCH;

	/* What its manifest says of a file counts, also while it is open. */
	if (open && !node_has(node, NODE_IS_SEALED) && !open->is_sealed) {
		r = getattr_open(mount, open, ret_stat);
		*ret_timeout = mount->is_private ? 86400.0 : 1.0;
	}
	(void)open_file_unpin(mount->files, open);
	return r == -EUNATCH ? getattr_named(mount, id, ret_stat, ret_timeout) : r;
}

void op_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);
	struct stat stat;
	double timeout = 0;
	int r = getattr(mount, id, &stat, &timeout);

	(void)info;
	if (r < 0)
		reply_failure(req, r, nodes_find(mount->nodes, id));
	else
		fuse_reply_attr(req, &stat, timeout);
}

static struct timespec time_to_set(const struct timespec *stamp, int valid, int set, int set_now)
{
	struct timespec time = *stamp;

	if (valid & set_now)
		time.tv_nsec = UTIME_NOW;
	else if (!(valid & set))
		time.tv_nsec = UTIME_OMIT;
	return time;
}

/* FD may be O_PATH: then mode and times need a path, which /proc has. */
static int change_mode(int fd, mode_t mode)
{
	char path[32];

	if (fchmod(fd, mode) == 0)
		return 0;
	if (errno != EBADF)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, mode) < 0 ? -errno : 0;
}

static int change_times(int fd, const struct stat *attr, int valid)
{
	const struct timespec times[2] = {
		time_to_set(&attr->st_atim, valid, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW),
		time_to_set(&attr->st_mtim, valid, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW),
	};

	if (utimensat(fd, "", times, AT_EMPTY_PATH) == 0)
		return 0;
	/* Kernels before 5.8 know no AT_EMPTY_PATH here. */
	if (errno != EINVAL && errno != ENOENT)
		return -errno;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return utimensat(AT_FDCWD, path, times, 0) < 0 ? -errno : 0;
}

static int change_owner(int fd, const struct stat *attr, int valid)
{
	uid_t uid = valid & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = valid & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;

	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* Owner before mode: chown(2) clears setuid and setgid, which the kernel sends along as they shall be. */
static int change(int fd, const struct stat *attr, int valid)
{
	int r = 0;

	if (valid & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		r = change_owner(fd, attr, valid);
	if (r == 0 && (valid & FUSE_SET_ATTR_MODE))
		r = change_mode(fd, attr->st_mode & 07777);
	if (r == 0 && (valid & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME |
				FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW)))
		r = change_times(fd, attr, valid);
	return r;
}

/* Everything written so far must be below first, or it would disturb the times that are set now. */
static int change_open(struct mount *mount, struct open_file *open, const struct stat *attr,
		       int valid)
{
	int r = open_file_use(open);

	if (r < 0)
		return r;
	if (open_file_is_busy(mount->files, open))
		loop_expect_delay();
	r = open_file_flush(mount->files, open);
	if (r == 0)
		r = change(file_fd(open->file), attr, valid);
	if (valid & FUSE_SET_ATTR_MODE)
		open->has_no_special_bits = false;
	open_file_done(open);
	return r;
}

static int change_named(const struct scope *scope, const struct stat *attr, int valid)
{
	struct attr found;
	int fd = *scope->backing
			 ? openat(scope->place.fd, scope->backing, O_PATH | O_NOFOLLOW | O_CLOEXEC)
			 : fcntl(scope->place.fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	int r = attr_read_fd(fd, &found);

	if (r == 0 && (found.identity.inode != scope->node->identity.inode ||
		       found.identity.birth_ns != scope->node->identity.birth_ns))
		r = -ESTALE;
	if (r == 0)
		r = change(fd, attr, valid);
	close(fd);
	return r;
}

static int truncate_to(const struct scope *scope, struct open_file *open, uint64_t size)
{
	struct mount *mount = scope->mount;
	const struct open_file_where where = { .parent = &scope->place, .backing = scope->backing };
	int r = open_file_open(mount->files, open, &where, FILE_WRITE, size == 0);

	if (r == 0)
		r = open_file_use(open);
	if (r < 0)
		return r;
	if (size > 0)
		r = file_truncate(open->file, size);
	open->written++;
	node_clear(open->node, NODE_IS_CACHE_VALID);
	/* Without an open handle nothing would flush it later. */
	if (r == 0)
		r = open_file_flush(mount->files, open);
	open_file_done(open);
	return r;
}

/* A snapshot's own directory stands in the root snapshot, but changes as the snapshot does. */
static int may_change_snapshot(const struct scope *scope)
{
	const struct mount *mount = scope->mount;
	struct place own;

	if (node_type(scope->node) != S_IFDIR || scope->place.depth + 1 != mount->snapshot_depth)
		return 0;
	int r = directory_get(mount->directories, scope->node, &own);

	if (r < 0)
		return r;
	const enum snapshot_state state = snapshot_state(own.snapshot);

	if (state == SNAPSHOT_FOREIGN)
		r = -EACCES;
	else if (state == SNAPSHOT_SEALED || state == SNAPSHOT_DUPLICATE ||
		 (!snapshot_is_encrypted(own.snapshot) && store_is_encrypted(mount->store)))
		r = -EROFS;
	directory_put(mount->directories, scope->node);
	return r;
}

/* May the object be changed?  A sealed DEK refuses wherever its file is linked. */
static int may_change(const struct scope *scope, struct open_file *open)
{
	int r = scope_may_change(scope);

	if (r == 0)
		r = snapshot_may_write(scope->place.snapshot);
	if (r == 0)
		r = may_change_snapshot(scope);
	if (r == 0 && *scope->backing)
		r = object_may_change(&scope->place, scope->backing);
	if (r < 0 || !open || open_file_use(open) < 0)
		return r == -ENOENT ? -ESTALE : r;
	const struct uuid *dek_id = file_dek_id(open->file);

	if (dek_id && store_dek_is_sealed(scope->mount->store, dek_id))
		r = -EROFS;
	open_file_done(open);
	return r;
}

static int setattr_named(struct mount *mount, fuse_ino_t id, struct open_file *open,
			 const struct stat *attr, int valid)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_locate(&scope, mount, id);

	if (r == 0)
		r = may_change(&scope, open);
	if (r < 0)
		return r;
	if (valid & FUSE_SET_ATTR_SIZE) {
		loop_expect_delay();
		r = truncate_to(&scope, open, (uint64_t)attr->st_size);
	}
	if (r < 0 || !(valid & ~FUSE_SET_ATTR_SIZE))
		return r;
	r = open ? change_open(mount, open, attr, valid) : -EUNATCH;
	return r == -EUNATCH ? change_named(&scope, attr, valid) : r;
}

/* A file that has no name any more can still be changed by those who have it open. */
static int setattr_unnamed(struct mount *mount, struct open_file *open, const struct stat *attr,
			   int valid)
{
	int r = open_file_use(open);

	if (r < 0)
		return -ESTALE;
	if (valid & FUSE_SET_ATTR_SIZE) {
		r = open->is_writable ? open_file_settle(mount->files, open) : -ESTALE;
		if (r == 0)
			r = file_truncate(open->file, (uint64_t)attr->st_size);
		open->written++;
		node_clear(open->node, NODE_IS_CACHE_VALID);
	}
	open_file_done(open);
	return r < 0 ? r : change_open(mount, open, attr, valid);
}

static int setattr(struct mount *mount, fuse_ino_t id, const struct stat *attr, int valid)
{
	struct node *node = nodes_find(mount->nodes, id);
	struct open_file *open = NULL;

	if (!node)
		return -ESTALE;
	if (valid & FUSE_SET_ATTR_SIZE)
		open = open_file_pin(mount->files, node);
	else
		open = open_file_find(mount->files, node);
	if (!open && (valid & FUSE_SET_ATTR_SIZE))
		return -ENOMEM;
	int r = setattr_named(mount, id, open, attr, valid);

	if (r == -ENOENT && open)
		r = setattr_unnamed(mount, open, attr, valid);
	int closed = open_file_unpin(mount->files, open);

	return r < 0 ? r : closed;
}

void op_setattr(fuse_req_t req, fuse_ino_t id, struct stat *attr, int valid,
		struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);
	int r = setattr(mount, id, attr, valid);

	if (r < 0)
		reply_failure(req, r, nodes_find(mount->nodes, id));
	else
		op_getattr(req, id, info);
}
