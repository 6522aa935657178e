/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One writable mount per volume: an OFD lock, and a lease that names host, boot and pid.
 *
 * The lock is what decides on this host and on storage whose locks reach other hosts.  Where they may not (network and FUSE
 * filesystems), a lease of another host that was not given back may be that of a live mount: it refuses.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/store_internal.h"
#include "fs/store/whole_file.h"
#include "meta/timestamp.h"

#define LEASE_SIZE_MAX 4096
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#define ZFS_SUPER_MAGIC 0x2fc12fc1

/* Filesystems that only one kernel has mounted: nobody but this kernel's locks matters. */
static const unsigned long local_filesystems[] = {
	EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC, TMPFS_MAGIC,
	ZFS_SUPER_MAGIC,  OVERLAYFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
};

static bool is_local(int fd)
{
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(local_filesystems); i++) {
		if ((unsigned long)st.f_type == local_filesystems[i])
			return true;
	}
	return false;
}

static int read_boot_id(struct uuid *ret_boot)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char buffer[UUID_TEXT_SIZE] = "";
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buffer, sizeof(buffer) - 1);
	close(fd);
	return n == sizeof(buffer) - 1 ? uuid_parse(buffer, ret_boot) : -EIO;
}

static void lease_parse(char *text, struct lease *lease)
{
	char *rest = NULL;

	memset(lease, 0, sizeof(*lease));
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *value = strchr(line, ' ');

		if (!value)
			continue;
		*value++ = '\0';
		if (strcmp(line, "mount") == 0 && uuid_parse(value, &lease->mount) < 0)
			memset(&lease->mount, 0, sizeof(lease->mount));
		else if (strcmp(line, "boot") == 0 && uuid_parse(value, &lease->boot) < 0)
			memset(&lease->boot, 0, sizeof(lease->boot));
		else if (strcmp(line, "host") == 0)
			snprintf(lease->host, sizeof(lease->host), "%s", value);
		else if (strcmp(line, "pid") == 0)
			lease->pid = strtol(value, NULL, 10);
	}
}

/* An empty lock file, or one without sense, is a lease of nobody. */
static void lease_read(int fd, struct lease *lease)
{
	char *text = NULL;
	size_t size;

	memset(lease, 0, sizeof(*lease));
	if (whole_file_read(fd, LEASE_SIZE_MAX, &text, &size) < 0)
		return;
	lease_parse(text, lease);
	free(text);
}

static int lease_write(int fd, const struct lease *lease)
{
	char mount[UUID_TEXT_SIZE];
	char boot[UUID_TEXT_SIZE];
	char since[TIMESTAMP_TEXT_SIZE];
	char text[LEASE_SIZE_MAX];
	int size;
	int r = timestamp_format(time(NULL), since);

	if (r < 0)
		return r;
	uuid_format(&lease->mount, mount);
	uuid_format(&lease->boot, boot);
	size = snprintf(text, sizeof(text), "mount %s\nhost %s\nboot %s\npid %ld\nsince %s\n",
			mount, lease->host, boot, lease->pid, since);
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)size, 0) != size || fsync(fd) < 0)
		return errno ? -errno : -EIO;
	return 0;
}

static int lock_denied(const struct lease *lease, struct store_error *reterr)
{
	store_fail(reterr, -EWOULDBLOCK, EXIT_LOCKED,
		   "the volume is locked by another writer: host %s, pid %ld",
		   lease->host[0] != '\0' ? lease->host : "unknown", lease->pid);
	store_advise(reterr, "unmount it there first, or mount read-only");
	return -EWOULDBLOCK;
}

static int refuse_lease(const struct lease *lease, struct store_error *reterr)
{
	store_fail(
		reterr, -EWOULDBLOCK, EXIT_LOCKED,
		"host %s (pid %ld) has not given the volume back, and locks may not reach it here",
		lease->host, lease->pid);
	store_advise(reterr,
		     "make sure that it is not mounted there, then mount with replace_dead");
	return -EWOULDBLOCK;
}

/* Someone else's lease that the lock does not settle. */
static bool is_foreign_lease(const struct lease *lease, const struct lease *own, int fd)
{
	return !uuid_is_zero(&lease->mount) && strcmp(lease->host, own->host) != 0 &&
	       !uuid_equal(&lease->boot, &own->boot) && !is_local(fd);
}

static int take_lock(struct store *store, bool replaces_lease, struct store_error *reterr)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct lease own = { .mount = store->mount_id, .pid = (long)getpid() };
	struct lease found;
	int r = read_boot_id(&own.boot);

	if (r < 0)
		return store_fail(reterr, r, EXIT_FAILED, "boot id: %s", strerror(-r));
	if (gethostname(own.host, sizeof(own.host) - 1) < 0)
		return store_fail(reterr, -errno, EXIT_FAILED, "host name: %s", strerror(errno));
	if (fcntl(store->lock_fd, F_OFD_SETLK, &lock) < 0) {
		r = -errno;
		lease_read(store->lock_fd, &found);
		if (r == -EAGAIN || r == -EACCES)
			return lock_denied(&found, reterr);
		return store_fail(reterr, r, EXIT_STORAGE, "the volume cannot be locked: %s",
				  strerror(-r));
	}
	lease_read(store->lock_fd, &found);
	if (!replaces_lease && is_foreign_lease(&found, &own, store->lock_fd))
		return refuse_lease(&found, reterr);
	store->dead_mount_id = found.mount;
	r = lease_write(store->lock_fd, &own);
	if (r < 0)
		return store_fail(reterr, r, EXIT_STORAGE, "lease of the volume: %s", strerror(-r));
	return 0;
}

int store_lock(struct store *store, bool replaces_lease, struct store_error *reterr)
{
	int fd = open_beneath(store->control_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return store_fail(reterr, fd, EXIT_STORAGE, "%s/lock: %s", CONTROL_DIRECTORY,
				  strerror(-fd));
	store->lock_fd = fd;
	r = take_lock(store, replaces_lease, reterr);
	if (r < 0) {
		close(fd);
		store->lock_fd = -1;
	}
	return r;
}

void store_unlock(struct store *store, bool is_clean)
{
	if (store->lock_fd < 0)
		return;
	if (is_clean && (ftruncate(store->lock_fd, 0) < 0 || fsync(store->lock_fd) < 0))
		store_report(store, LOG_WARNING, CONTROL_DIRECTORY "/lock", "lease not cleared: %s",
			     strerror(errno));
	close(store->lock_fd);
	store->lock_fd = -1;
}

void store_live_mount(struct store *store, struct uuid *ret_mount)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct lease lease;
	int fd;

	memset(ret_mount, 0, sizeof(*ret_mount));
	if (store->lock_fd >= 0) {
		*ret_mount = store->mount_id;
		return;
	}
	fd = open_beneath(store->control_fd, "lock", O_RDONLY | O_NOFOLLOW, 0);
	if (fd < 0)
		return;
	lease_read(fd, &lease);
	/* Where other hosts' locks cannot be seen, a lease counts as live. */
	if (fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK || !is_local(fd))
		*ret_mount = lease.mount;
	close(fd);
}
