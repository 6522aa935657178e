/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a journal. */
#include "fs/store/journal_area.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/store/whole_file.h"

#define DIRECTORY_PATH ".snapcrypt/journal"
#define TMP_PATH       ".snapcrypt/tmp"
#define MIB            (UINT64_C(1) << 20)

uint64_t journal_area_capacity(const struct journal_area *area)
{
	return journal_half(&area->superblock, 0).size - JOURNAL_RESERVE_FOR_FILE;
}

static void begin_epoch(struct journal_area *area, uint64_t epoch)
{
	const struct journal_half half = journal_half(&area->superblock, epoch);

	area->epoch = epoch;
	area->position = half.offset;
	area->end = half.offset + half.size;
}

int journal_directory_open(struct store *store)
{
	int fd = openat(store_root_fd(store), DIRECTORY_PATH,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int sync_path(int root_fd, const char *path)
{
	int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;

	int r = fsync(fd) < 0 ? -errno : 0;

	close(fd);
	return r;
}

/* init makes the directories; copies of a volume may lack empty ones. */
static int make_directory(int root_fd, const char *path)
{
	if (mkdirat(root_fd, path, 0700) == 0)
		return sync_path(root_fd, ".snapcrypt");
	return errno == EEXIST ? 0 : -errno;
}

static int highest_number(struct store *store, uint64_t *ret_number)
{
	uint8_t data[JOURNAL_SUPERBLOCK_SIZE];
	struct journal_superblock superblock;
	const struct dirent *entry;
	uint64_t highest = 0;
	int fd = journal_directory_open(store);

	if (fd < 0)
		return fd;

	DIR *directory = fdopendir(fd);

	if (directory == NULL) {
		close(fd);
		return -ENOMEM;
	}
	while ((entry = readdir(directory)) != NULL) {
		int journal_fd = openat(fd, entry->d_name,
					O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

		if (journal_fd < 0)
			continue;

		ssize_t n = read_all(journal_fd, data, sizeof(data), 0);

		close(journal_fd);
		if (n == sizeof(data) &&
		    journal_superblock_decode((struct bytes){ data, sizeof(data) }, &superblock,
					      NULL) == 0 &&
		    superblock.number > highest)
			highest = superblock.number;
	}
	closedir(directory);
	*ret_number = highest;
	return highest == UINT64_MAX ? -EOVERFLOW : 0;
}

static int write_zeros_to(int fd, uint64_t size)
{
	static const uint8_t zeros[65536];

	for (uint64_t offset = 0; offset < size; offset += sizeof(zeros)) {
		int r = write_all(fd, zeros, sizeof(zeros), offset, NULL);

		if (r < 0)
			return r;
	}
	return 0;
}

static int allocate(int fd, uint64_t size)
{
	int r;

	do {
		r = fallocate(fd, 0, 0, (off_t)size) < 0 ? -errno : 0;
	} while (r == -EINTR);
	if (r == -EOPNOTSUPP || r == -ENOSYS)
		r = write_zeros_to(fd, size);
	if (r < 0 && ftruncate(fd, 0) < 0)
		return -errno;
	return r;
}

/* The largest area that leaves most of the free space to files. */
static int allocate_area(int fd, uint64_t *ret_area_size)
{
	static const uint64_t sizes[] = { 64 * MIB, 16 * MIB, 4 * MIB, MIB };
	struct statvfs filesystem;
	int r = -ENOSPC;

	if (fstatvfs(fd, &filesystem) < 0)
		return -errno;

	const uint64_t free_size = (uint64_t)filesystem.f_bavail * filesystem.f_frsize;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		/* A filesystem that reports nothing at all does not keep count. */
		if (filesystem.f_blocks > 0 && sizes[i] * 2 > free_size)
			continue;
		r = allocate(fd, JOURNAL_AREA_OFFSET + sizes[i]);
		if (r == 0) {
			*ret_area_size = sizes[i];
			return 0;
		}
		if (r != -ENOSPC && r != -EDQUOT && r != -EFBIG)
			return r;
	}
	return r;
}

static int write_slot(struct journal_area *area, uint64_t epoch, uint64_t first_sequence)
{
	const struct journal_checkpoint checkpoint = { epoch, first_sequence };
	uint8_t data[JOURNAL_CHECKPOINT_SIZE];
	int r;

	journal_checkpoint_encode(&checkpoint, data);
	r = write_all(area->fd, data, sizeof(data),
		      journal_checkpoint_offset((unsigned)(epoch & 1)), NULL);
	if (r < 0)
		return r;
	return fdatasync(area->fd) < 0 ? -errno : 0;
}

static int fill_new(struct store *store, struct journal_area *area)
{
	uint8_t data[JOURNAL_SUPERBLOCK_SIZE];
	struct journal_superblock *superblock = &area->superblock;
	int r;

	superblock->volume = store_volume(store)->volume;
	superblock->mount = *store_mount_id(store);
	superblock->area_offset = JOURNAL_AREA_OFFSET;
	r = highest_number(store, &superblock->number);
	if (r < 0)
		return r;
	superblock->number++;
	r = allocate_area(area->fd, &superblock->area_size);
	if (r < 0)
		return r;
	journal_superblock_encode(superblock, data);
	r = write_all(area->fd, data, sizeof(data), 0, NULL);
	if (r < 0)
		return r;
	begin_epoch(area, 1);
	area->sequence = 1;
	r = write_slot(area, area->epoch, area->sequence);
	if (r < 0)
		return r;
	return fsync(area->fd) < 0 ? -errno : 0;
}

/* Says that this mount lives: recovery of other mounts leaves it alone.  Advisory. */
static void lock_area(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	(void)fcntl(fd, F_OFD_SETLK, &lock);
}

static int create_file(struct store *store, struct journal_area *area)
{
	const int root_fd = store_root_fd(store);
	char mount[UUID_TEXT_SIZE];
	char tmp_path[128], path[128];
	int r;

	r = make_directory(root_fd, DIRECTORY_PATH);
	if (r == 0)
		r = make_directory(root_fd, TMP_PATH);
	if (r < 0)
		return r;
	uuid_format(store_mount_id(store), mount);
	snprintf(tmp_path, sizeof(tmp_path), "%s/journal-%s", TMP_PATH, mount);
	snprintf(path, sizeof(path), "%s/%s", DIRECTORY_PATH, mount);
	area->fd = openat(root_fd, tmp_path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			  0600);
	if (area->fd < 0)
		return -errno;
	lock_area(area->fd);
	r = fill_new(store, area);
	if (r == 0 && renameat(root_fd, tmp_path, root_fd, path) < 0)
		r = -errno;
	if (r == 0) {
		r = sync_path(root_fd, DIRECTORY_PATH);
		if (r < 0)
			(void)unlinkat(root_fd, path, 0);
	}
	if (r < 0) {
		(void)unlinkat(root_fd, tmp_path, 0);
		journal_area_close(area);
	}
	return r;
}

int journal_area_create(struct store *store, struct journal_area *ret_area)
{
	/* The first journaled change may come while the thread acts as the user of a request. */
	const int user = setfsuid(geteuid());
	const int group = setfsgid(getegid());
	struct journal_area area = { .fd = -1 };
	int r = create_file(store, &area);

	setfsgid((gid_t)group);
	setfsuid((uid_t)user);
	if (r < 0)
		return r;
	*ret_area = area;
	return 0;
}

int journal_area_append(struct journal_area *area, struct bytes records, size_t count)
{
	int r;

	if (area->error < 0)
		return area->error;
	r = write_all(area->fd, records.data, records.size, area->position, NULL);
	if (r < 0)
		return r;
	if (fdatasync(area->fd) < 0)
		return -errno;
	area->position += records.size;
	area->sequence += count;
	return 0;
}

int journal_area_advance(struct journal_area *area, struct bytes records, size_t count)
{
	const uint64_t epoch = area->epoch + 1;
	int r;

	if (area->error < 0)
		return area->error;
	if (records.size > journal_area_capacity(area))
		return -ENOSPC;
	if (records.size > 0) {
		r = write_all(area->fd, records.data, records.size,
			      journal_half(&area->superblock, epoch).offset, NULL);
		if (r < 0)
			return r;
		if (fdatasync(area->fd) < 0)
			return -errno;
	}
	r = write_slot(area, epoch, area->sequence);
	if (r < 0) {
		area->error = r;
		return r;
	}
	begin_epoch(area, epoch);
	area->position += records.size;
	area->sequence += count;
	return 0;
}

int journal_area_remove(struct store *store, struct journal_area *area)
{
	char mount[UUID_TEXT_SIZE];
	int fd, r = 0;

	uuid_format(&area->superblock.mount, mount);
	fd = journal_directory_open(store);
	if (fd < 0)
		return fd;
	if (unlinkat(fd, mount, 0) < 0 && errno != ENOENT)
		r = -errno;
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

void journal_area_close(struct journal_area *area)
{
	if (area->fd >= 0)
		close(area->fd);
	area->fd = -1;
}
