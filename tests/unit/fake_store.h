/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store that is only what the journal asks of one: for the tests that include this, once each.  Beside it, the calls that
 * write, so that tests can count them, let them fail, or end the process at one of them.
 */
#ifndef SNAPCRYPT_TESTS_UNIT_FAKE_STORE_H
#define SNAPCRYPT_TESTS_UNIT_FAKE_STORE_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/store/file.h"
#include "fs/store/store.h"

struct store {
	int root_fd;
	bool is_writable;
	struct volume_record volume;
	struct layout layout;
	struct uuid mount;
	unsigned reports;
	bool is_sealed;
};

int store_root_fd(const struct store *store)
{
	return store->root_fd;
}

const struct volume_record *store_volume(const struct store *store)
{
	return &store->volume;
}

const struct layout *store_layout(const struct store *store)
{
	return &store->layout;
}

bool store_is_writable(const struct store *store)
{
	return store->is_writable;
}

const struct uuid *store_mount_id(const struct store *store)
{
	return &store->mount;
}

bool store_dek_is_sealed(struct store *store, const struct uuid *dek_id)
{
	(void)dek_id;
	return store->is_sealed;
}

void store_report(struct store *store, int priority, const char *path, const char *format, ...)
{
	(void)priority;
	(void)path;
	(void)format;
	store->reports++;
}

/* An end is good when its last byte is 'E'. */
int file_check_end(struct store *store, const struct dek *dek, int fd)
{
	char last = 0;

	(void)store;
	(void)dek;
	if (pread(fd, &last, 1, lseek(fd, 0, SEEK_END) - 1) != 1)
		return -EIO;
	return last == 'E' ? 0 : -EBADMSG;
}

/* ---- Calls that write --------------------------------------------------------------------- */

static struct {
	unsigned count;      /* writing and syncing calls so far */
	unsigned die_at;     /* end the process in front of this one; 0: never */
	ino_t fail_inode;    /* writes to this inode fail ... */
	int fail_error;      /* ... with this */
	int fail_sync_error; /* syncs of it, likewise */
	off_t fallocate_max; /* larger ones give ENOSPC; 0: no limit */
} calls;

static void call_begins(void)
{
	if (++calls.count == calls.die_at)
		_exit(42);
}

static ino_t inode_of(int fd)
{
	struct stat stat;

	return fstat(fd, &stat) < 0 ? 0 : stat.st_ino;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset);
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset)
{
	call_begins();
	if (calls.fail_error != 0 && inode_of(fd) == calls.fail_inode) {
		errno = calls.fail_error;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, data, size, offset);
}

int ftruncate64(int fd, off_t size);
int ftruncate64(int fd, off_t size)
{
	call_begins();
	if (calls.fail_error != 0 && inode_of(fd) == calls.fail_inode) {
		errno = calls.fail_error;
		return -1;
	}
	return (int)syscall(SYS_ftruncate, fd, size);
}

int fdatasync(int fd)
{
	call_begins();
	if (calls.fail_sync_error != 0 && inode_of(fd) == calls.fail_inode) {
		errno = calls.fail_sync_error;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	call_begins();
	return (int)syscall(SYS_fsync, fd);
}

int fallocate64(int fd, int mode, off_t offset, off_t size);
int fallocate64(int fd, int mode, off_t offset, off_t size)
{
	call_begins();
	if (calls.fallocate_max != 0 && offset + size > calls.fallocate_max) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

int unlinkat(int fd, const char *name, int flags)
{
	call_begins();
	return (int)syscall(SYS_unlinkat, fd, name, flags);
}

#endif
