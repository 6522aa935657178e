/* SPDX-License-Identifier: Apache-2.0 */
/* statx, because only that tells birth times: inode numbers are used again, pairs with a birth time are not. */
#include "fs/mount/attr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fs/store/entry.h"

static struct timespec time_from(const struct statx_timestamp *stamp)
{
	return (struct timespec){ .tv_sec = stamp->tv_sec, .tv_nsec = (long)stamp->tv_nsec };
}

static void convert(const struct statx *from, struct attr *to)
{
	memset(to, 0, sizeof(*to));
	to->stat.st_dev = makedev(from->stx_dev_major, from->stx_dev_minor);
	to->stat.st_ino = from->stx_ino;
	to->stat.st_mode = from->stx_mode;
	to->stat.st_nlink = from->stx_nlink;
	to->stat.st_uid = from->stx_uid;
	to->stat.st_gid = from->stx_gid;
	to->stat.st_rdev = makedev(from->stx_rdev_major, from->stx_rdev_minor);
	to->stat.st_size = (off_t)from->stx_size;
	to->stat.st_blksize = (blksize_t)from->stx_blksize;
	to->stat.st_blocks = (blkcnt_t)from->stx_blocks;
	to->stat.st_atim = time_from(&from->stx_atime);
	to->stat.st_mtim = time_from(&from->stx_mtime);
	to->stat.st_ctim = time_from(&from->stx_ctime);
	to->identity.inode = from->stx_ino;
	if (from->stx_mask & STATX_BTIME)
		to->identity.birth_ns = from->stx_btime.tv_sec * 1000000000 +
					(int64_t)from->stx_btime.tv_nsec;
}

static int read_attributes(int fd, const char *name, int flags, struct attr *ret_attr)
{
	struct statx attributes;

	if (statx(fd, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_BASIC_STATS | STATX_BTIME, &attributes) < 0)
		return -errno;
	/* Something is mounted here, below the mount: that is not part of the volume. */
	if ((attributes.stx_attributes & STATX_ATTR_MOUNT_ROOT) && *name)
		return -ESTALE;
	convert(&attributes, ret_attr);
	return 0;
}

int attr_read(const struct place *place, const char *backing, struct attr *ret_attr)
{
	int r = read_attributes(place->fd, backing, 0, ret_attr);

	if (r < 0)
		return r;
	entry_size(place, backing, &ret_attr->stat);
	return 0;
}

int attr_read_fd(int fd, struct attr *ret_attr)
{
	return read_attributes(fd, "", AT_EMPTY_PATH, ret_attr);
}
