/* SPDX-License-Identifier: Apache-2.0 */
/* Where the tags of a snapshot's files are kept while they are written: its log, and files for the large ones. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/own_credentials.h"
#include "fs/store/snapshot_internal.h"
#include "fs/store/tag_memory.h"
#include "fs/store/tag_record.h"

#define LOG_NONE (-1)
#define LOG_LOST (-2) /* cannot be had */

static pthread_once_t boot_once = PTHREAD_ONCE_INIT;
static struct uuid boot;

static void read_boot(void)
{
	char *text = NULL;
	size_t size = 0;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	text = calloc(1, 64);
	if (text && read(fd, text, 63) > 0) {
		size = strcspn(text, "\n");
		text[size] = '\0';
		if (uuid_parse(text, &boot) < 0)
			boot = (struct uuid){ 0 };
	}
	free(text);
	close(fd);
}

const struct uuid *tag_boot(void)
{
	pthread_once(&boot_once, read_boot);
	return &boot;
}

static int make_directories(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST) {
			*slash = '/';
			return -errno;
		}
		*slash = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_named(struct snapshot *snapshot, const char *name, int flags)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	char path[TAG_PATH_SIZE];
	size_t size;
	int fd;
	int r = tag_directory(snapshot->store->trust, &snapshot->store->volume.volume,
			      &snapshot->id, path);

	(void)saved;
	if (r == 0)
		r = make_directories(path);
	if (r < 0)
		return r;
	size = strlen(path);
	if (snprintf(path + size, sizeof(path) - size, "/%s", name) >= (int)(sizeof(path) - size))
		return -ENAMETOOLONG;
	fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

/* The log of a snapshot, opened once.  Negative: tags are not kept. */
static int log_of(struct snapshot *snapshot, const struct uuid *dek_id)
{
	int fd = atomic_load(&snapshot->tag_log);
	int expected = LOG_NONE;

	if (fd == LOG_LOST || snapshot->identity.kind != IDENTITY_SNAPSHOT ||
	    !uuid_equal(dek_id, &snapshot->identity.dek))
		return LOG_LOST;
	if (fd != LOG_NONE)
		return fd;
	fd = open_named(snapshot, TAG_LOG, O_WRONLY | O_CREAT | O_APPEND);
	if (fd < 0)
		fd = LOG_LOST;
	if (!atomic_compare_exchange_strong(&snapshot->tag_log, &expected, fd)) {
		if (fd >= 0)
			close(fd);
		fd = expected;
	}
	return fd;
}

void snapshot_close_tags(struct snapshot *snapshot)
{
	const int fd = atomic_exchange(&snapshot->tag_log, LOG_NONE);

	if (fd >= 0)
		close(fd);
}

/* Nothing that is in the log may be believed any more. */
static void lose_log(struct snapshot *snapshot)
{
	const int fd = atomic_exchange(&snapshot->tag_log, LOG_LOST);

	if (fd >= 0) {
		(void)!ftruncate(fd, 0);
		close(fd);
	}
}

const struct tag_keeper tag_keeper = { log_of, open_named, lose_log };
