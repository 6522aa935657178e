/* SPDX-License-Identifier: Apache-2.0 */
/* May this place carry a mount of that volume? */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs/mount/mount.h"
#include "fs/mount/mounter.h"
#include "fs/mount/mountinfo.h"

#define LEVELS_MAX 4096

static int refuse(struct store_error *reterr, int code, const char *mountpoint, const char *why,
		  const char *advice)
{
	reterr->code = code;
	reterr->exit_code = code == -EINVAL ? 2 : 1;
	snprintf(reterr->text, sizeof(reterr->text), "cannot mount at %s: %s", mountpoint, why);
	snprintf(reterr->advice, sizeof(reterr->advice), "%s", advice);
	return code;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is the directory FD somewhere below ABOVE?  1, 0 or a negative errno.  FD is closed. */
static int is_below(int fd, const struct stat *above)
{
	for (unsigned level = 0; level < LEVELS_MAX; level++) {
		int parent = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		struct stat here;
		struct stat up;

		if (parent < 0 || fstat(fd, &here) < 0 || fstat(parent, &up) < 0) {
			int r = -errno;

			close(fd);
			if (parent >= 0)
				close(parent);
			return r;
		}
		close(fd);
		fd = parent;
		if (is_same(&here, &up))
			break;
		if (is_same(&up, above)) {
			close(fd);
			return 1;
		}
	}
	close(fd);
	return 0;
}

static int check_nesting(int backing_fd, int mountpoint_fd, const char *mountpoint,
			 struct store_error *reterr)
{
	struct stat backing;
	struct stat place;

	if (fstat(backing_fd, &backing) < 0 || fstat(mountpoint_fd, &place) < 0)
		return refuse(reterr, -errno, mountpoint, strerror(errno), "");
	if (!S_ISDIR(place.st_mode))
		return refuse(reterr, -ENOTDIR, mountpoint, "not a directory", "");
	/* Over the backing directory itself: it was opened before, so it stays reachable for the mount. */
	if (is_same(&backing, &place))
		return 0;
	int r = is_below(fcntl(mountpoint_fd, F_DUPFD_CLOEXEC, 0), &backing);

	if (r == 1)
		return refuse(reterr, -EINVAL, mountpoint, "it lies inside the backing directory",
			      "mount elsewhere, or over the backing directory itself");
	if (r == 0)
		r = is_below(fcntl(backing_fd, F_DUPFD_CLOEXEC, 0), &place);
	if (r == 1)
		return refuse(reterr, -EINVAL, mountpoint, "the backing directory lies inside it",
			      "mount elsewhere, or over the backing directory itself");
	return r < 0 ? refuse(reterr, r, mountpoint, strerror(-r), "") : 0;
}

/* A mount without its daemon answers ENOTCONN to everything. */
static int detach_dead(const char *mountpoint, const struct mount_options *options,
		       struct store_error *reterr)
{
	struct mountinfo entry;

	if (mountinfo_find(mountpoint, &entry) < 0 || !mountinfo_is_ours(&entry))
		return refuse(reterr, -ENOTCONN, mountpoint,
			      "a dead mount of another filesystem is there", "unmount it first");
	if (!options->replaces_dead)
		return refuse(
			reterr, -ENOTCONN, mountpoint, "a dead mount is there, its daemon is gone",
			"'snapcrypt umount --dead MOUNTPOINT', or mount with -o replace_dead");
	int r = options->daemon->mounter
			? mounter_unmount(options->daemon->mounter, mountpoint, entry.device)
			: -EPERM;

	return r < 0 ? refuse(reterr, r, mountpoint, "the dead mount there cannot be detached", "")
		     : 0;
}

int mountpoint_check(int backing_fd, const struct mount_options *options,
		     struct store_error *reterr)
{
	const char *mountpoint = options->mountpoint;
	int fd = open(mountpoint, O_PATH | O_CLOEXEC);
	struct statfs ignored;

	/* Attributes may still be cached after the daemon died; statfs always asks it. */
	if (fd >= 0 && fstatfs(fd, &ignored) < 0 && errno == ENOTCONN) {
		close(fd);
		fd = -1;
		errno = ENOTCONN;
	}
	if (fd < 0 && errno == ENOTCONN) {
		int r = detach_dead(mountpoint, options, reterr);

		if (r < 0)
			return r;
		fd = open(mountpoint, O_PATH | O_CLOEXEC);
	}
	if (fd < 0)
		return refuse(reterr, -errno, mountpoint, strerror(errno),
			      "create the directory first");
	int r = check_nesting(backing_fd, fd, mountpoint, reterr);

	close(fd);
	return r;
}
