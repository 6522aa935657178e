/* SPDX-License-Identifier: Apache-2.0 */
/* .snapcrypt-restore.json */
#include "fs/restore/marker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/document.h"
#include "fs/store/whole_file.h"

#define MARKER_SIZE_MAX 4096
#define BOOT_ID_PATH    "/proc/sys/kernel/random/boot_id"

static void read_boot_id(char text[static UUID_TEXT_SIZE])
{
	const int fd = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	if (fd >= 0) {
		n = read(fd, text, UUID_TEXT_SIZE - 1);
		close(fd);
	}
	text[n < 0 ? 0 : n] = '\0';
}

static bool is_uuid(const struct json_object *object, const char *name, const struct uuid *id)
{
	const char *text = document_text(object, name);
	struct uuid found;

	return text != NULL && uuid_parse(text, &found) == 0 && uuid_equal(&found, id);
}

static int take(const struct json_object *object, struct marker *marker)
{
	const char *boot = document_text(object, "boot");
	char now[UUID_TEXT_SIZE];

	if (!is_uuid(object, "volume", &marker->volume) ||
	    !is_uuid(object, "snapshot", &marker->snapshot))
		return -EEXIST;
	read_boot_id(now);
	marker->is_there = true;
	marker->replaces = document_is_true(object, "replaces");
	/* After a crash of the system a file may have its time and not its content. */
	marker->can_skip = boot != NULL && now[0] != '\0' && strcmp(boot, now) == 0 &&
			   !marker->replaces;
	return 0;
}

int marker_find(int target_fd, struct marker *marker)
{
	const int fd = openat(target_fd, MARKER_NAME,
			      O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	CLEANUP(document_cleanup) struct json_object *object = NULL;
	struct stat stat;
	char *data = NULL;
	size_t size = 0;
	int r = 0;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = fstat(fd, &stat) != 0 ? -errno : whole_file_read(fd, MARKER_SIZE_MAX, &data, &size);
	close(fd);
	if (r < 0)
		return r;
	object = document_read(data, size);
	free(data);
	if (object == NULL)
		return -EEXIST;
	marker->started = stat.st_mtim;
	return take(object, marker);
}

int marker_write(int target_fd, const struct marker *marker)
{
	CLEANUP(document_cleanup) struct json_object *object = document_new_object();
	char boot[UUID_TEXT_SIZE];
	const char *line = NULL;
	int fd = -1;
	int r = 0;

	read_boot_id(boot);
	document_add_uuid(object, "volume", &marker->volume);
	document_add_uuid(object, "snapshot", &marker->snapshot);
	document_add_text(object, "boot", boot);
	document_add_bool(object, "replaces", marker->replaces);
	line = document_line(object);
	fd = openat(target_fd, MARKER_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return -errno;
	r = whole_file_write(fd, line, strlen(line));
	close(fd);
	return r;
}

int marker_remove(int target_fd)
{
	return unlinkat(target_fd, MARKER_NAME, 0) == 0 || errno == ENOENT ? 0 : -errno;
}
