/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to the kernel: what is asked of it, how it is mounted and unmounted. */
#include "fs/mount/session.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/mount/attach.h"
#include "fs/mount/mounter.h"
#include "fs/mount/mountinfo.h"
#include "fs/mount/ops.h"

#define WRITE_MAX      (1U << 20)
#define BACKGROUND_MAX 64

static void want(struct fuse_conn_info *connection, unsigned flags)
{
	connection->want |= connection->capable & flags;
}

/*
 * Everything is asked for by name, whatever libfuse would choose.  Not wanted: the kernel's write-back cache (it would own times
 * and sizes), splicing (the payload must be in memory), HANDLE_KILLPRIV (ops_data.c does it where the kernel does not), locks
 * (the kernel keeps them).
 */
static void op_init(void *userdata, struct fuse_conn_info *connection)
{
	struct mount *mount = userdata;

	connection->want = 0;
	want(connection, FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_ATOMIC_O_TRUNC |
				 FUSE_CAP_DONT_MASK | FUSE_CAP_PARALLEL_DIROPS |
				 FUSE_CAP_POSIX_ACL | FUSE_CAP_READDIRPLUS |
				 FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_CACHE_SYMLINKS);
	/* Who else could change a file: nobody, or (beside a writable mount) somebody. */
	want(connection,
	     mount->is_private ? FUSE_CAP_EXPLICIT_INVAL_DATA : FUSE_CAP_AUTO_INVAL_DATA);
	connection->max_write = WRITE_MAX;
	connection->max_readahead = (unsigned)mount->options->read_ahead;
	connection->max_background = BACKGROUND_MAX;
	connection->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	connection->time_gran = 1;
	mount->is_serving = true;
}

static const struct fuse_lowlevel_ops operations = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.flush = op_flush,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.create = op_create,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
};

/* ---- Options --------------------------------------------------------------------------------- */

struct named_flag {
	const char *name;
	unsigned long set;
	unsigned long clear;
};

/* Options of mount(8) that are flags of mount(2). */
static const struct named_flag named_flags[] = {
	{ "ro", MS_RDONLY, 0 },
	{ "rw", 0, MS_RDONLY },
	{ "suid", 0, MS_NOSUID },
	{ "nosuid", MS_NOSUID, 0 },
	{ "dev", 0, MS_NODEV },
	{ "nodev", MS_NODEV, 0 },
	{ "exec", 0, MS_NOEXEC },
	{ "noexec", MS_NOEXEC, 0 },
	{ "sync", MS_SYNCHRONOUS, 0 },
	{ "async", 0, MS_SYNCHRONOUS },
	{ "dirsync", MS_DIRSYNC, 0 },
	{ "atime", 0, MS_NOATIME },
	{ "noatime", MS_NOATIME, 0 },
	{ "diratime", 0, MS_NODIRATIME },
	{ "nodiratime", MS_NODIRATIME, 0 },
	{ "relatime", MS_RELATIME, 0 },
	{ "norelatime", 0, MS_RELATIME },
	{ "strictatime", MS_STRICTATIME, 0 },
	{ "nosymfollow", MS_NOSYMFOLLOW, 0 },
	{ "symfollow", 0, MS_NOSYMFOLLOW },
};

static int apply_flag(const char *name, unsigned long *flags)
{
	for (size_t i = 0; i < ARRAY_SIZE(named_flags); i++) {
		if (strcmp(name, named_flags[i].name) != 0)
			continue;
		*flags = (*flags | named_flags[i].set) & ~named_flags[i].clear;
		return 0;
	}
	return -EINVAL;
}

int attach_flags(const struct mount_options *options, unsigned long *ret_flags, char *unknown,
		 size_t size)
{
	unsigned long flags = MS_NOSUID | MS_NODEV;
	char *copy = options->kernel_options ? strdup(options->kernel_options) : NULL;
	char *saved = NULL;
	int r = 0;

	if (options->kernel_options && !copy)
		return -ENOMEM;
	if (options->is_read_only)
		flags |= MS_RDONLY;
	/* A link that a tampered or merely old backup holds must not lead whoever restores out of the mount. */
	if (options->is_read_only && !options->follows_symlinks)
		flags |= MS_NOSYMFOLLOW;
	for (char *name = copy ? strtok_r(copy, ",", &saved) : NULL; name;
	     name = strtok_r(NULL, ",", &saved)) {
		if (apply_flag(name, &flags) < 0) {
			snprintf(unknown, size, "%s", name);
			r = -EINVAL;
		}
	}
	free(copy);
	/* One of its files may be set to root by whoever changed the backing directory. */
	if (options->is_read_only)
		flags |= MS_RDONLY | MS_NOSUID | MS_NODEV;
	*ret_flags = flags;
	return r;
}

/* ---- Mounting -------------------------------------------------------------------------------- */

static int new_session(struct mount *mount, const char *library_options)
{
	char option_flag[] = "-o";
	char program[] = "snapcrypt";
	char *options = strdup(library_options);
	char *arguments[] = { program, option_flag, options, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(*library_options ? 3 : 1, arguments);

	if (!options)
		return -ENOMEM;
	mount->session = fuse_session_new(&args, &operations, sizeof(operations), mount);
	fuse_opt_free_args(&args);
	free(options);
	return mount->session ? 0 : -EINVAL;
}

static int attach_privileged(struct mount *mount, unsigned long flags)
{
	const struct mount_options *options = mount->options;
	char text[256];
	char device[32];
	int fd = -1;

	snprintf(text, sizeof(text), "rootmode=40000,user_id=%u,group_id=%u,default_permissions%s",
		 geteuid(), getegid(), options->allows_others ? ",allow_other" : "");
	const struct mounter_mount request = {
		.source = options->source,
		.mountpoint = options->mountpoint,
		.flags = flags,
		.options = text,
	};
	int r = mounter_mount(options->daemon->mounter, &request, &fd);

	if (r < 0)
		return r;
	snprintf(device, sizeof(device), "/dev/fd/%d", fd);
	return fuse_session_mount(mount->session, device) < 0 ? -EIO : 0;
}

/* Through fusermount3, which knows what an ordinary user may do. */
static int attach_unprivileged(struct mount *mount)
{
	return fuse_session_mount(mount->session, mount->options->mountpoint) < 0 ? -EPERM : 0;
}

int attach(struct mount *mount, unsigned long flags)
{
	const struct mount_options *options = mount->options;
	char library_options[4400] = "";
	bool is_privileged = options->daemon->mounter != NULL;

	if (!is_privileged)
		snprintf(library_options, sizeof(library_options),
			 "fsname=%s,subtype=snapcrypt,default_permissions%s%s", options->source,
			 options->allows_others ? ",allow_other" : "",
			 options->is_read_only ? ",ro" : "");
	int r = new_session(mount, library_options);

	if (r < 0)
		return r;
	return is_privileged ? attach_privileged(mount, flags) : attach_unprivileged(mount);
}

void detach(struct mount *mount)
{
	const struct mount_options *options = mount->options;

	if (!options->daemon->mounter) {
		fuse_session_unmount(mount->session);
		return;
	}
	if (!*mount->device)
		return;
	int r = mounter_unmount(options->daemon->mounter, options->mountpoint, mount->device);

	/* Mostly it is gone already, by umount(8): that is why we end. */
	if (r < 0 && r != -ENOENT && r != -EINVAL)
		store_report(mount->store, LOG_WARNING, "", "cannot unmount %s: %s",
			     options->mountpoint, strerror(-r));
}

/* The kernel's own limit of read-ahead is 128 KiB whatever a filesystem allows. */
static void set_read_ahead(const char *device, size_t size)
{
	char path[80];
	char text[32];

	snprintf(path, sizeof(path), "/sys/class/bdi/%s/read_ahead_kb", device);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	snprintf(text, sizeof(text), "%zu", size / 1024);
	/* Not permitted in some containers: reads are slower there, nothing else. */
	if (write(fd, text, strlen(text)) < 0)
		errno = 0;
	close(fd);
}

void attach_settle(struct mount *mount)
{
	struct mountinfo entry;

	if (mountinfo_find(mount->options->mountpoint, &entry) < 0 || !mountinfo_is_ours(&entry))
		return;
	memcpy(mount->device, entry.device, sizeof(mount->device));
	if (mount->options->read_ahead)
		set_read_ahead(entry.device, mount->options->read_ahead);
}
