/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marks of unfinished writing: writing/<snapshot> names the mount that writes to a snapshot.  It appears before the first
 * change and disappears when the mount has ended cleanly; so one of a mount that is no more says "incomplete".  A hint for
 * people: nothing else depends on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/own_credentials.h"
#include "fs/store/snapshot_internal.h"
#include "fs/store/whole_file.h"

#define MARKS "writing"

static void mark_name(const struct uuid *id, char name[static CONTROL_NAME_SIZE])
{
	char text[UUID_TEXT_SIZE];

	uuid_format(id, text);
	snprintf(name, CONTROL_NAME_SIZE, MARKS "/%s", text);
}

static int mark_read(struct store *store, const char *name, struct uuid *ret_mount)
{
	char *text = NULL;
	size_t size;
	int fd = open_beneath(store->control_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return fd;
	r = whole_file_read(fd, UUID_TEXT_SIZE, &text, &size);
	close(fd);
	if (r < 0)
		return r;
	if (size > 0 && text[size - 1] == '\n')
		text[size - 1] = '\0';
	r = uuid_parse(text, ret_mount);
	free(text);
	return r;
}

static int mark_write(struct store *store, const char *name)
{
	char text[UUID_TEXT_SIZE + 1];
	char temporary[CONTROL_NAME_SIZE];
	int fd;
	int r;

	uuid_format(&store->mount_id, text);
	strcat(text, "\n");
	/* One at a time per snapshot, and snapshots have names of their own in tmp/ too. */
	snprintf(temporary, sizeof(temporary), "tmp/%s.mark", strrchr(name, '/') + 1);
	fd = open_beneath(store->control_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
			  0600);
	if (fd < 0)
		return fd;
	r = whole_file_write(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	close(fd);
	if (r == 0 && renameat(store->control_fd, temporary, store->control_fd, name) < 0)
		r = -errno;
	return r;
}

int snapshot_mark(struct store *store, const struct uuid *id)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	char name[CONTROL_NAME_SIZE];
	int r = control_make_directory(store->control_fd, MARKS);

	(void)saved;
	mark_name(id, name);
	if (r == 0)
		r = mark_write(store, name);
	return r < 0 ? r : directory_sync(store->control_fd, MARKS);
}

void snapshot_unmark(struct store *store, const struct uuid *id)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	char name[CONTROL_NAME_SIZE];

	(void)saved;
	mark_name(id, name);
	(void)unlinkat(store->control_fd, name, 0);
}

bool snapshot_mark_is_dead(struct store *store, const struct uuid *id)
{
	char name[CONTROL_NAME_SIZE];
	struct uuid mount;
	struct uuid live;

	mark_name(id, name);
	if (mark_read(store, name, &mount) < 0)
		return false;
	store_live_mount(store, &live);
	return !uuid_equal(&mount, &live);
}

void store_clear_marks(struct store *store)
{
	char **names = NULL;
	size_t count = 0;
	int fd = open_beneath(store->control_fd, MARKS, O_RDONLY | O_DIRECTORY, 0);

	if (fd < 0)
		return;
	if (directory_names(fd, ".", NULL, &names, &count) == 0) {
		for (size_t i = 0; i < count; i++) {
			char name[CONTROL_NAME_SIZE];
			struct uuid mount;

			snprintf(name, sizeof(name), MARKS "/%.100s", names[i]);
			if (mark_read(store, name, &mount) == 0 &&
			    uuid_equal(&mount, &store->mount_id))
				(void)unlinkat(store->control_fd, name, 0);
		}
		names_free(names, count);
	}
	if (fsync(fd) < 0)
		store_report(store, LOG_WARNING, CONTROL_DIRECTORY "/" MARKS, "not synced: %s",
			     strerror(errno));
	close(fd);
}
