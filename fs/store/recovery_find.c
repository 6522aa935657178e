/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the files that records are for.  The path in a record is a hint: a rename may have come after it, or may not have
 * reached the disk before it.  Where the hint fails, the volume is searched for the object id; that happens once for all
 * records of a DEK, and only after a crash.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/journal_area.h"
#include "fs/store/recovery_internal.h"
#include "fs/store/whole_file.h"
#include "meta/format/header.h"

#define DEPTH_MAX     2048
#define RESERVED_NAME ".snapcrypt"

static int open_beneath(int directory_fd, const char *path, int flags)
{
	const struct open_how how = {
		.flags = (unsigned)(flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	long fd;

	do {
		fd = syscall(SYS_openat2, directory_fd, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? -errno : (int)fd;
}

/* 0: the file at FD has this object id under DEK, by its authentic header.  -ENOENT: no. */
static int check_header(const struct recovery *recovery, int fd, const struct dek *dek,
			struct recovery_target *target)
{
	const struct volume_record *volume = store_volume(recovery->store);
	const struct header_expectation expected = {
		.volume = volume->volume,
		.algorithm = volume->algorithm,
		.block_size_log2 = store_layout(recovery->store)->block_size_log2,
	};
	uint8_t data[HEADER_SIZE];
	struct header header;
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -ENOENT;

	ssize_t n = read_all(fd, data, sizeof(data), 0);

	if (n < 0)
		return (int)n;
	if (header_decode((struct bytes){ data, (size_t)n }, &expected, &header, NULL) < 0)
		return -ENOENT;
	if (!uuid_equal(&header.dek, dek_id(dek)) ||
	    recovery_compare_objects(header.object_id, target->object_id) != 0)
		return -ENOENT;

	const struct bytes input = header_mac_input(data);
	int r = dek_mac_verify(dek, DEK_LABEL_HEADER, &input, 1, header_mac(data));

	if (r < 0)
		return r == -EBADMSG ? -ENOENT : r;
	memcpy(target->content_id, header.content_id, sizeof(target->content_id));
	return 0;
}

int recovery_try_path(struct recovery *recovery, const char *path, const struct dek *dek,
		      struct recovery_target *target)
{
	int r, fd = open_beneath(store_root_fd(recovery->store), path, O_RDWR);

	if (fd == -EIO || fd == -ENOMEM || fd == -EMFILE || fd == -ENFILE)
		return fd;
	if (fd < 0)
		return -ENOENT;
	r = check_header(recovery, fd, dek, target);
	if (r < 0) {
		close(fd);
		return r;
	}
	target->fd = fd;
	return 0;
}

struct search {
	struct recovery *recovery;
	const struct dek *dek;
	struct recovery_target *targets;
	size_t target_count;
	size_t left;
	dev_t device;
};

static int compare_target(const void *object_id, const void *target)
{
	return recovery_compare_objects(object_id,
					((const struct recovery_target *)target)->object_id);
}

static int look_at_file(struct search *search, int directory_fd, const char *name)
{
	uint8_t data[HEADER_SIZE];
	struct recovery_target *target;
	int r, fd = open_beneath(directory_fd, name, O_RDONLY);

	if (fd < 0)
		return 0;

	ssize_t n = read_all(fd, data, sizeof(data), 0);

	close(fd);
	if (n != (ssize_t)sizeof(data) ||
	    memcmp(data + HEADER_DEK_OFFSET, dek_id(search->dek)->bytes, UUID_SIZE) != 0)
		return 0;
	target = bsearch(data + HEADER_OBJECT_ID_OFFSET, search->targets, search->target_count,
			 sizeof(*target), compare_target);
	if (target == NULL || target->fd >= 0)
		return 0;
	fd = open_beneath(directory_fd, name, O_RDWR);
	if (fd < 0)
		return fd;
	r = check_header(search->recovery, fd, search->dek, target);
	if (r < 0) {
		close(fd);
		return r == -ENOENT ? 0 : r;
	}
	target->fd = fd;
	search->left--;
	return 0;
}

static int look_through(struct search *search, int directory_fd, unsigned depth);

static int enter(struct search *search, int directory_fd, const char *name, unsigned depth)
{
	struct stat stat;
	int r, fd = open_beneath(directory_fd, name, O_RDONLY | O_DIRECTORY);

	if (fd < 0)
		return 0;
	if (fstat(fd, &stat) < 0 || stat.st_dev != search->device || depth == DEPTH_MAX) {
		close(fd);
		return 0;
	}
	r = look_through(search, fd, depth);
	return r;
}

static int look_at(struct search *search, int directory_fd, const struct dirent *entry,
		   unsigned depth)
{
	unsigned char type = entry->d_type;
	struct stat stat;

	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
	    strncmp(entry->d_name, RESERVED_NAME, sizeof(RESERVED_NAME) - 1) == 0)
		return 0;
	if (type == DT_UNKNOWN) {
		if (fstatat(directory_fd, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
			return 0;
		type = S_ISDIR(stat.st_mode) ? DT_DIR : S_ISREG(stat.st_mode) ? DT_REG : DT_FIFO;
	}
	if (type == DT_DIR)
		return enter(search, directory_fd, entry->d_name, depth + 1);
	return type == DT_REG ? look_at_file(search, directory_fd, entry->d_name) : 0;
}

/* Takes DIRECTORY_FD over. */
static int look_through(struct search *search, int directory_fd, unsigned depth)
{
	DIR *directory = fdopendir(directory_fd);
	const struct dirent *entry;
	int r = 0;

	if (directory == NULL) {
		close(directory_fd);
		return -ENOMEM;
	}
	while (r == 0 && search->left > 0 && (entry = readdir(directory)) != NULL)
		r = look_at(search, directory_fd, entry, depth);
	closedir(directory);
	return r;
}

int recovery_search(struct recovery *recovery, const struct dek *dek,
		    struct recovery_target *targets, size_t count)
{
	struct search search = {
		.recovery = recovery,
		.dek = dek,
		.targets = targets,
		.target_count = count,
	};
	struct stat stat;
	int fd;

	for (size_t i = 0; i < count; i++)
		search.left += targets[i].fd < 0;
	if (search.left == 0)
		return 0;
	store_report(recovery->store, LOG_NOTICE, "",
		     "searching the volume for %zu files that the journal names", search.left);
	fd = open_beneath(store_root_fd(recovery->store), ".", O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	if (fstat(fd, &stat) < 0) {
		close(fd);
		return -errno;
	}
	search.device = stat.st_dev;
	return look_through(&search, fd, 0);
}
