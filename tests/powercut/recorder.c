/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records what a process asks of the filesystem below: loaded with LD_PRELOAD into the daemon, read by replay.py, which builds
 * the states that a power cut may leave.
 *
 *   POWERCUT_ROOT   a directory; what happens on its filesystem is recorded
 *   POWERCUT_LOG    an existing file of the size that the log may have
 *
 * The log is mapped and shared, so that it needs no descriptor and outlives any end of the process.  Every call gives two
 * events: its beginning, from which on it may have an effect, and its end, after which a sync covers it.  Times are those of
 * CLOCK_MONOTONIC, so that the notes of the program above can be put between them.
 */
#undef _FILE_OFFSET_BITS
#define _LARGEFILE64_SOURCE 1

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum event_kind {
	EVENT_WRITE = 1,
	EVENT_TRUNCATE,
	EVENT_ALLOCATE,
	EVENT_SYNC,
	EVENT_CREATE,
	EVENT_LINK,
	EVENT_RENAME,
	EVENT_UNLINK,
	EVENT_SYNC_ALL,
	EVENT_END,
};

/* As replay.py reads it. */
struct event {
	uint32_t size; /* of the whole event, set last; 0: not written yet */
	uint16_t kind;
	uint16_t name_size;
	uint16_t other_name_size;
	uint16_t mode;
	uint32_t data_size;
	uint64_t id;
	uint64_t time_ns;
	uint64_t inode;
	uint64_t other_inode;
	int64_t numbers[3];
	/* name, other name, data */
};

static struct {
	uint8_t *map;
	size_t size;
	_Atomic uint64_t *position; /* the first 8 bytes of the log */
	_Atomic uint64_t *next_id;  /* the next 8 */
	dev_t device;
} recorder;

/*
 * The system call itself: libraries that are loaded before this one call in here before anything could be looked up, and
 * syscall() is recorded too.
 */
#if defined(__x86_64__)
static long raw_call(const long n, const long a[static 6])
{
	register long r10 __asm__("r10") = a[3];
	register long r8 __asm__("r8") = a[4];
	register long r9 __asm__("r9") = a[5];
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(n), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
static long raw_call(const long n, const long a[static 6])
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a[0];
	register long x1 __asm__("x1") = a[1];
	register long x2 __asm__("x2") = a[2];
	register long x3 __asm__("x3") = a[3];
	register long x4 __asm__("x4") = a[4];
	register long x5 __asm__("x5") = a[5];

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
}
#endif

static long call_kernel(const long n, const long a[static 6])
{
	const long result = raw_call(n, a);

	if (result >= -4095 && result < 0) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

/* Arguments of a call as numbers; those left out are zero. */
#define CALL(n, ...) call_kernel(n, (const long[6]){ __VA_ARGS__ })
#define POINTER(p)   ((long)(uintptr_t)(p))

__attribute__((constructor)) static void recorder_start(void)
{
	const char *root = getenv("POWERCUT_ROOT"), *log = getenv("POWERCUT_LOG");
	struct stat stat_of_root, stat_of_log;
	int fd;

	if (root == NULL || log == NULL)
		return;
	if (stat(root, &stat_of_root) < 0 || stat(log, &stat_of_log) < 0)
		abort();
	fd = (int)CALL(SYS_openat, AT_FDCWD, POINTER(log), O_RDWR | O_CLOEXEC, 0);
	recorder.size = (size_t)stat_of_log.st_size;
	recorder.map = mmap(NULL, recorder.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || recorder.map == MAP_FAILED)
		abort();
	close(fd);
	recorder.device = stat_of_root.st_dev;
	recorder.position = (_Atomic uint64_t *)recorder.map;
	recorder.next_id = (_Atomic uint64_t *)(recorder.map + 8);
}

static bool is_on(void)
{
	return recorder.map != NULL;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct names {
	const char *name;
	const char *other;
};

static void record(struct event *event, const struct names *names, const struct iovec *data,
		   int data_count)
{
	const size_t name_size = names != NULL && names->name != NULL ? strlen(names->name) : 0;
	const size_t other_size = names != NULL && names->other != NULL ? strlen(names->other) : 0;
	size_t data_size = 0, size;
	uint64_t position;
	uint8_t *place;

	for (int i = 0; i < data_count; i++)
		data_size += data[i].iov_len;
	size = (sizeof(*event) + name_size + other_size + data_size + 7) / 8 * 8;
	position = atomic_fetch_add(recorder.position, size);
	if (16 + position + size > recorder.size)
		abort(); /* the log is too small: a test must not go on unrecorded */
	place = recorder.map + 16 + position;
	event->name_size = (uint16_t)name_size;
	event->other_name_size = (uint16_t)other_size;
	event->data_size = (uint32_t)data_size;
	event->time_ns = now_ns();
	event->size = 0;
	memcpy(place, event, sizeof(*event));

	uint8_t *next = place + sizeof(*event);

	memcpy(next, name_size > 0 ? names->name : "", name_size);
	next += name_size;
	memcpy(next, other_size > 0 ? names->other : "", other_size);
	next += other_size;
	for (int i = 0; i < data_count; i++) {
		if (data[i].iov_len > 0)
			memcpy(next, data[i].iov_base, data[i].iov_len);
		next += data[i].iov_len;
	}
	atomic_store((_Atomic uint32_t *)(void *)place, (uint32_t)size);
}

/* The beginning of a call; its id. */
static uint64_t begin(struct event *event, const struct names *names, const struct iovec *data,
		      int data_count)
{
	event->id = 1 + atomic_fetch_add(recorder.next_id, 1);
	record(event, names, data, data_count);
	return event->id;
}

static void end(uint64_t id, int64_t result, uint64_t inode)
{
	const int saved = errno;
	struct event event = { .kind = EVENT_END, .id = id, .inode = inode };

	event.numbers[0] = result;
	record(&event, NULL, NULL, 0);
	errno = saved;
}

/* The inode behind a descriptor, if it is one to record; else 0. */
static uint64_t inode_of(int fd)
{
	const int saved = errno;
	struct stat stat;
	uint64_t inode = 0;

	if (is_on() && fstat(fd, &stat) == 0 && stat.st_dev == recorder.device &&
	    (S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode)))
		inode = stat.st_ino;
	errno = saved;
	return inode;
}

/* The directory that PATH's last component is in, and that component. */
struct place {
	uint64_t directory;
	const char *name;
};

static struct place place_of(int fd, const char *path)
{
	const int saved = errno;
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX] = ".";
	struct place place = { 0, slash != NULL ? slash + 1 : path };
	struct stat stat;

	if (!is_on())
		return place;
	if (slash == path)
		strcpy(parent, "/");
	else if (slash != NULL)
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	if (fstatat(fd, parent, &stat, 0) == 0 && stat.st_dev == recorder.device)
		place.directory = stat.st_ino;
	errno = saved;
	return place;
}

static uint64_t inode_at(int fd, const char *path)
{
	const int saved = errno;
	struct stat stat;
	uint64_t inode = fstatat(fd, path, &stat, AT_SYMLINK_NOFOLLOW) == 0 ? stat.st_ino : 0;

	errno = saved;
	return inode;
}

/* ---- Data ------------------------------------------------------------------------------------ */

static ssize_t recorded_write(int fd, const struct iovec *data, int count, off_t offset)
{
	const uint64_t inode = inode_of(fd);
	struct event event = { .kind = EVENT_WRITE, .inode = inode, .numbers = { offset } };
	uint64_t id;
	long n;

	if (inode == 0)
		return CALL(SYS_pwritev, fd, POINTER(data), count, offset, 0);
	id = begin(&event, NULL, data, count);
	n = CALL(SYS_pwritev, fd, POINTER(data), count, offset, 0);
	end(id, n < 0 ? -errno : n, 0);
	return n;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
	const struct iovec vector = { (void *)(uintptr_t)data, size };

	return recorded_write(fd, &vector, 1, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
	return pwrite(fd, data, size, offset);
}

ssize_t pwritev(int fd, const struct iovec *data, int count, off_t offset)
{
	return recorded_write(fd, data, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *data, int count, off64_t offset)
{
	return recorded_write(fd, data, count, offset);
}

ssize_t write(int fd, const void *data, size_t size)
{
	struct event event = { .kind = EVENT_WRITE };
	const struct iovec vector = { (void *)(uintptr_t)data, size };
	uint64_t id;
	long n;

	event.inode = inode_of(fd);
	if (event.inode == 0)
		return CALL(SYS_write, fd, POINTER(data), (long)size);
	event.numbers[0] = lseek(fd, 0, SEEK_CUR);
	id = begin(&event, NULL, &vector, 1);
	n = CALL(SYS_write, fd, POINTER(data), (long)size);
	end(id, n < 0 ? -errno : n, 0);
	return n;
}

int ftruncate(int fd, off_t size)
{
	struct event event = { .kind = EVENT_TRUNCATE, .numbers = { size } };
	uint64_t id;
	int r;

	event.inode = inode_of(fd);
	if (event.inode == 0)
		return (int)CALL(SYS_ftruncate, fd, (long)size);
	id = begin(&event, NULL, NULL, 0);
	r = (int)CALL(SYS_ftruncate, fd, (long)size);
	end(id, r < 0 ? -errno : 0, 0);
	return r;
}

int ftruncate64(int fd, off64_t size)
{
	return ftruncate(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
	struct event event = { .kind = EVENT_ALLOCATE, .numbers = { mode, offset, size } };
	uint64_t id;
	int r;

	event.inode = inode_of(fd);
	if (event.inode == 0)
		return (int)CALL(SYS_fallocate, fd, (long)mode, offset, (long)size);
	id = begin(&event, NULL, NULL, 0);
	r = (int)CALL(SYS_fallocate, fd, (long)mode, offset, (long)size);
	end(id, r < 0 ? -errno : 0, 0);
	return r;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
	return fallocate(fd, mode, offset, size);
}

int posix_fallocate(int fd, off_t offset, off_t size)
{
	return fallocate(fd, 0, offset, size) < 0 ? errno : 0;
}

int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
	return posix_fallocate(fd, offset, size);
}

/* ---- Syncs ----------------------------------------------------------------------------------- */

static int recorded_sync(long number, int fd)
{
	struct event event = { .kind = number == SYS_syncfs ? EVENT_SYNC_ALL : EVENT_SYNC };
	uint64_t id;
	int r;

	event.inode = inode_of(fd);
	if (event.inode == 0)
		return (int)CALL(number, fd);
	id = begin(&event, NULL, NULL, 0);
	r = (int)CALL(number, fd);
	end(id, r < 0 ? -errno : 0, 0);
	return r;
}

int fsync(int fd)
{
	return recorded_sync(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return recorded_sync(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
	return recorded_sync(SYS_syncfs, fd);
}

/* ---- Names ----------------------------------------------------------------------------------- */

static uint64_t begin_create(int fd, const char *path, mode_t mode, const char *target)
{
	const struct place place = place_of(fd, path);
	const struct names names = { .name = place.name };
	const struct iovec data = { (void *)(uintptr_t)target,
				    target != NULL ? strlen(target) : 0 };
	struct event event = { .kind = EVENT_CREATE, .inode = place.directory };

	if (place.directory == 0)
		return 0;
	event.numbers[0] = mode;
	return begin(&event, &names, &data, 1);
}

static int end_create(uint64_t id, int fd, const char *path, int result)
{
	if (id != 0)
		end(id, result < 0 ? -errno : 0, result < 0 ? 0 : inode_at(fd, path));
	return result;
}

/* How opening changes something: not at all, by creating, by cutting. */
struct opening {
	uint64_t create_id;
	uint64_t cut_id;
};

static struct opening begin_open(int fd, const char *path, int flags, mode_t mode)
{
	struct opening opening = { 0, 0 };
	const int saved = errno;
	struct stat stat;

	if (is_on() && (flags & (O_CREAT | O_TRUNC)) != 0) {
		if (fstatat(fd, path, &stat, AT_SYMLINK_NOFOLLOW) < 0) {
			if ((flags & O_CREAT) != 0)
				opening.create_id = begin_create(fd, path, S_IFREG | mode, NULL);
		} else if ((flags & O_TRUNC) != 0 && stat.st_dev == recorder.device &&
			   S_ISREG(stat.st_mode)) {
			struct event event = { .kind = EVENT_TRUNCATE, .inode = stat.st_ino };

			opening.cut_id = begin(&event, NULL, NULL, 0);
		}
	}
	errno = saved;
	return opening;
}

static int end_open(const struct opening *opening, int fd, const char *path, int result)
{
	if (opening->cut_id != 0)
		end(opening->cut_id, result < 0 ? -errno : 0, 0);
	return end_create(opening->create_id, fd, path, result);
}

static int recorded_openat(int fd, const char *path, int flags, mode_t mode)
{
	const struct opening opening = begin_open(fd, path, flags, mode);

	return end_open(&opening, fd, path,
			(int)CALL(SYS_openat, fd, POINTER(path), (long)flags, (long)mode));
}

static mode_t mode_argument(int flags, va_list arguments)
{
	return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

int openat(int fd, const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = mode_argument(flags, arguments);
	va_end(arguments);
	return recorded_openat(fd, path, flags, mode);
}

int openat64(int fd, const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = mode_argument(flags, arguments);
	va_end(arguments);
	return recorded_openat(fd, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = mode_argument(flags, arguments);
	va_end(arguments);
	return recorded_openat(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;

	va_start(arguments, flags);
	mode = mode_argument(flags, arguments);
	va_end(arguments);
	return recorded_openat(AT_FDCWD, path, flags, mode);
}

int mkdirat(int fd, const char *path, mode_t mode)
{
	const uint64_t id = begin_create(fd, path, S_IFDIR | mode, NULL);

	return end_create(id, fd, path, (int)CALL(SYS_mkdirat, fd, POINTER(path), (long)mode));
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

int mknodat(int fd, const char *path, mode_t mode, dev_t device)
{
	const uint64_t id = begin_create(fd, path, mode, NULL);

	return end_create(id, fd, path,
			  (int)CALL(SYS_mknodat, fd, POINTER(path), (long)mode, (unsigned)device));
}

int symlinkat(const char *target, int fd, const char *path)
{
	const uint64_t id = begin_create(fd, path, S_IFLNK | 0777, target);

	return end_create(id, fd, path,
			  (int)CALL(SYS_symlinkat, POINTER(target), fd, POINTER(path)));
}

int linkat(int from_fd, const char *from, int fd, const char *path, int flags)
{
	const struct place place = place_of(fd, path);
	const struct names names = { .name = place.name };
	struct event event = { .kind = EVENT_LINK, .inode = place.directory };
	uint64_t id;
	int r;

	if (place.directory == 0)
		return (int)CALL(SYS_linkat, from_fd, POINTER(from), fd, POINTER(path),
				 (long)flags);
	id = begin(&event, &names, NULL, 0);
	r = (int)CALL(SYS_linkat, from_fd, POINTER(from), fd, POINTER(path), (long)flags);
	return end_create(id, fd, path, r);
}

int symlink(const char *target, const char *path)
{
	return symlinkat(target, AT_FDCWD, path);
}

int link(const char *from, const char *path)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, path, 0);
}

static int recorded_rename(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	const struct place old = place_of(from_fd, from), new = place_of(to_fd, to);
	const struct names names = { old.name, new.name };
	struct event event = { .kind = EVENT_RENAME, .inode = old.directory };
	uint64_t id;
	int r;

	if (old.directory == 0 || new.directory == 0)
		return (int)CALL(SYS_renameat2, from_fd, POINTER(from), to_fd, POINTER(to),
				 (long)flags);
	event.other_inode = new.directory;
	event.numbers[0] = flags;
	id = begin(&event, &names, NULL, 0);
	r = (int)CALL(SYS_renameat2, from_fd, POINTER(from), to_fd, POINTER(to), (long)flags);
	end(id, r < 0 ? -errno : 0, 0);
	return r;
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	return recorded_rename(from_fd, from, to_fd, to, flags);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return recorded_rename(from_fd, from, to_fd, to, 0);
}

int rename(const char *from, const char *to)
{
	return recorded_rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int fd, const char *path, int flags)
{
	const struct place place = place_of(fd, path);
	const struct names names = { .name = place.name };
	struct event event = { .kind = EVENT_UNLINK, .inode = place.directory };
	uint64_t id;
	int r;

	if (place.directory == 0)
		return (int)CALL(SYS_unlinkat, fd, POINTER(path), (long)flags);
	id = begin(&event, &names, NULL, 0);
	r = (int)CALL(SYS_unlinkat, fd, POINTER(path), (long)flags);
	end(id, r < 0 ? -errno : 0, 0);
	return r;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

/* ---- Calls without a function of their own ---------------------------------------------------- */

static long recorded_openat2(int fd, const char *path, const struct open_how *how, size_t size)
{
	const struct opening opening = begin_open(fd, path, (int)how->flags, (mode_t)how->mode);
	long result = CALL(SYS_openat2, fd, POINTER(path), POINTER(how), (long)size);

	return end_open(&opening, fd, path, (int)result);
}

long syscall(long number, ...)
{
	long a[6];
	va_list arguments;

	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_openat2)
		return recorded_openat2((int)a[0], (const char *)a[1],
					(const struct open_how *)a[2], (size_t)a[3]);
	if (number == SYS_renameat2)
		return recorded_rename((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3],
				       (unsigned)a[4]);
	return CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
