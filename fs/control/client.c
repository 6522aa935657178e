/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the mounts of this host and asking them. */
#include "fs/control/client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/control/directory.h"

#define SEND_TIMEOUT_MS   5000
#define STATUS_TIMEOUT_MS 5000

static int ask(int fd, struct json_object *request, int timeout_ms, struct json_object **ret_reply)
{
	char *line = NULL;
	size_t size = 0;
	int r = control_write_line(fd, SEND_TIMEOUT_MS, document_line(request));

	if (r == 0)
		r = control_read_line(fd, timeout_ms, &line, &size);
	if (r < 0)
		return r;
	*ret_reply = document_read(line, size);
	free(line);
	return *ret_reply == NULL ? -EPROTO : 0;
}

int control_ask(int directory_fd, const char *socket, struct json_object *request, int timeout_ms,
		struct json_object **ret_reply, int *ret_fd)
{
	int fd = -1;
	int r = control_connect(directory_fd, socket, &fd);

	if (r < 0)
		return r;
	r = ask(fd, request, timeout_ms, ret_reply);
	if (r == 0 && ret_fd != NULL)
		*ret_fd = fd;
	else
		close(fd);
	return r;
}

static int add_mount(struct control_mounts *mounts, const char *name)
{
	CLEANUP(document_cleanup) struct json_object *request = document_new_object();
	struct control_mount mount = { 0 };
	struct control_mount *more = NULL;

	if (control_parse_name(name, &mount.volume, &mount.mount) < 0 ||
	    strlen(name) >= sizeof(mount.socket))
		return 0;
	document_add_text(request, "command", "status");
	if (control_ask(mounts->directory_fd, name, request, STATUS_TIMEOUT_MS, &mount.status,
			NULL) < 0)
		return 0;
	if (!document_is_true(mount.status, "ok")) {
		document_free(mount.status);
		return 0;
	}
	strcpy(mount.socket, name);
	more = reallocarray(mounts->mounts, mounts->count + 1, sizeof(*more));
	if (more == NULL) {
		document_free(mount.status);
		return -ENOMEM;
	}
	mounts->mounts = more;
	mounts->mounts[mounts->count++] = mount;
	return 0;
}

int control_list(const char *runtime_dir, struct control_mounts *ret_mounts)
{
	CLEANUP(control_mounts_cleanup) struct control_mounts mounts = { .directory_fd = -1 };
	const struct dirent *entry = NULL;
	DIR *directory = NULL;
	int fd = -1;
	int r = control_directory_open(runtime_dir, false, &mounts.directory_fd);

	if (r == 0) {
		fd = openat(mounts.directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		directory = fd < 0 ? NULL : fdopendir(fd);
		if (directory == NULL) {
			r = -errno;
			if (fd >= 0)
				close(fd);
		}
	}
	while (r == 0 && mounts.count < CONTROL_MOUNTS_MAX && (entry = readdir(directory)) != NULL)
		r = add_mount(&mounts, entry->d_name);
	if (directory != NULL)
		closedir(directory);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_mounts = mounts;
	mounts = (struct control_mounts){ .directory_fd = -1 };
	return 0;
}

void control_mounts_free(struct control_mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++)
		document_free(mounts->mounts[i].status);
	free(mounts->mounts);
	if (mounts->directory_fd >= 0)
		close(mounts->directory_fd);
	*mounts = (struct control_mounts){ .directory_fd = -1 };
}

void control_mounts_cleanup(struct control_mounts *mounts)
{
	control_mounts_free(mounts);
}

bool control_mount_is_of(const struct control_mount *mount, dev_t device, ino_t inode)
{
	return document_number(mount->status, "backing_device") == device &&
	       document_number(mount->status, "backing_inode") == inode;
}

dev_t control_mount_device(const struct control_mount *mount)
{
	return document_number(document_member(mount->status, "mount"), "device");
}

const char *control_mountpoint(const struct control_mount *mount)
{
	return document_text(document_member(mount->status, "mount"), "mountpoint");
}

bool control_mount_is_writable(const struct control_mount *mount)
{
	const struct json_object *status = document_member(mount->status, "mount");

	return status != NULL && !document_is_true(status, "read_only");
}

int control_take_backing(const struct control_mounts *mounts, const struct control_mount *mount,
			 int *ret_fd, char **ret_path)
{
	CLEANUP(document_cleanup) struct json_object *request = document_new_object();
	const char *path = document_text(mount->status, "backing");
	char *line = NULL;
	size_t size = 0;
	int fd = -1;
	int backing_fd = -1;
	int r = control_connect(mounts->directory_fd, mount->socket, &fd);

	if (r < 0)
		return r;
	document_add_text(request, "command", "backing");
	r = control_write_line(fd, SEND_TIMEOUT_MS, document_line(request));
	if (r == 0)
		r = control_receive_fd(fd, STATUS_TIMEOUT_MS, &backing_fd);
	if (r == 0)
		r = control_read_line(fd, STATUS_TIMEOUT_MS, &line, &size);
	free(line);
	close(fd);
	if (r == 0 && path != NULL)
		*ret_path = strdup(path);
	if (r == 0 && (path == NULL || *ret_path == NULL))
		r = -ENOMEM;
	if (r < 0) {
		if (backing_fd >= 0)
			close(backing_fd);
		return r;
	}
	*ret_fd = backing_fd;
	return 0;
}
