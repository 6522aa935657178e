/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's table of mounts: /proc/self/mountinfo. */
#include "fs/control/mount_table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENTRIES_MAX       100000
#define ANSWER_TIMEOUT_MS 10000

static void entry_free(struct mount_entry *entry)
{
	free(entry->mountpoint);
	free(entry->type);
	free(entry->source);
}

/* The kernel writes space, tab, newline and backslash as three octal digits. */
static char *unescape(const char *text)
{
	char *plain = strdup(text);
	char *out = plain;

	for (const char *in = text; plain != NULL && *in != '\0'; out++) {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' &&
		    in[3] >= '0' && in[3] <= '7') {
			*out = (char)((in[1] - '0') * 64 + (in[2] - '0') * 8 + (in[3] - '0'));
			in += 4;
		} else {
			*out = *in++;
		}
	}
	if (plain != NULL)
		*out = '\0';
	return plain;
}

/* id parent major:minor root mountpoint options [optional ...] - type source super-options */
static int parse_line(char *line, struct mount_entry *ret_entry)
{
	char *fields[6] = { NULL };
	char *rest = line;
	char *type = NULL;
	char *source = NULL;
	unsigned major_number = 0;
	unsigned minor_number = 0;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		fields[i] = strsep(&rest, " ");
		if (fields[i] == NULL || rest == NULL)
			return -EBADMSG;
	}
	while ((type = strsep(&rest, " ")) != NULL && strcmp(type, "-") != 0)
		;
	type = strsep(&rest, " ");
	source = strsep(&rest, " ");
	if (type == NULL || source == NULL ||
	    sscanf(fields[2], "%u:%u", &major_number, &minor_number) != 2)
		return -EBADMSG;
	*ret_entry = (struct mount_entry){
		.id = (int)strtol(fields[0], NULL, 10),
		.device = makedev(major_number, minor_number),
		.mountpoint = unescape(fields[4]),
		.type = unescape(type),
		.source = unescape(source),
		.is_read_only = strncmp(fields[5], "ro", 2) == 0 &&
				(fields[5][2] == ',' || fields[5][2] == '\0'),
	};
	if (ret_entry->mountpoint == NULL || ret_entry->type == NULL || ret_entry->source == NULL) {
		entry_free(ret_entry);
		return -ENOMEM;
	}
	return 0;
}

static int add_line(struct mount_table *table, char *line)
{
	struct mount_entry entry;
	struct mount_entry *more = NULL;
	int r = 0;

	line[strcspn(line, "\n")] = '\0';
	r = parse_line(line, &entry);
	if (r < 0)
		return r == -EBADMSG ? 0 : r;
	more = reallocarray(table->entries, table->count + 1, sizeof(*more));
	if (more == NULL) {
		entry_free(&entry);
		return -ENOMEM;
	}
	table->entries = more;
	table->entries[table->count++] = entry;
	return 0;
}

int mount_table_read(struct mount_table *ret_table)
{
	CLEANUP(mount_table_cleanup) struct mount_table table = { 0 };
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	int r = 0;

	if (file == NULL)
		return -errno;
	while (r == 0 && table.count < ENTRIES_MAX && getline(&line, &size, file) > 0)
		r = add_line(&table, line);
	free(line);
	fclose(file);
	if (r < 0)
		return r;
	*ret_table = table;
	table = (struct mount_table){ 0 };
	return 0;
}

void mount_table_free(struct mount_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		entry_free(&table->entries[i]);
	free(table->entries);
	*table = (struct mount_table){ 0 };
}

void mount_table_cleanup(struct mount_table *table)
{
	mount_table_free(table);
}

/* The id of the mount that an O_PATH descriptor is on. */
static int mount_id_of(int fd)
{
	char path[64];
	char line[128];
	int id = -EBADMSG;
	FILE *file = NULL;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (file == NULL)
		return -errno;
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "mnt_id: %d", &id) == 1)
			break;
	fclose(file);
	return id;
}

/* Below a dead mount no path can be walked: the longest mount point that is a prefix decides. */
static const struct mount_entry *find_by_prefix(const struct mount_table *table, const char *path)
{
	const struct mount_entry *found = NULL;
	size_t longest = 0;

	for (size_t i = 0; i < table->count; i++) {
		const char *mountpoint = table->entries[i].mountpoint;
		const size_t length = strlen(mountpoint);

		if (length >= longest && strncmp(path, mountpoint, length) == 0 &&
		    (path[length] == '\0' || path[length] == '/' || length == 1)) {
			longest = length;
			found = &table->entries[i];
		}
	}
	return found;
}

int mount_table_find(const struct mount_table *table, const char *path,
		     const struct mount_entry **ret_entry)
{
	const int fd = open(path, O_PATH | O_CLOEXEC);
	int id = 0;

	*ret_entry = NULL;
	if (fd < 0 && (errno == ENOTCONN || errno == ECONNABORTED) && path[0] == '/') {
		*ret_entry = find_by_prefix(table, path);
		return 0;
	}
	if (fd < 0)
		return -errno;
	id = mount_id_of(fd);
	close(fd);
	if (id < 0)
		return id;
	for (size_t i = 0; i < table->count; i++)
		if (table->entries[i].id == id)
			*ret_entry = &table->entries[i];
	return 0;
}

const struct mount_entry *mount_table_at(const struct mount_table *table, const char *mountpoint)
{
	for (size_t i = table->count; i > 0; i--)
		if (strcmp(table->entries[i - 1].mountpoint, mountpoint) == 0)
			return &table->entries[i - 1];
	return NULL;
}

bool mount_entry_is_ours(const struct mount_entry *entry)
{
	return strcmp(entry->type, MOUNT_TYPE) == 0;
}

/*
 * A daemon that hangs would hang us with it, and a process in a filesystem call may be
 * uninterruptible: a child asks, and is left behind if it does not come back.
 */
bool mount_entry_is_alive(const struct mount_entry *entry)
{
	int fds[2] = { -1, -1 };
	struct pollfd answer = { .events = POLLIN };
	char outcome = 0;
	pid_t child = 0;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return false;
	child = fork();
	if (child == 0) {
		struct statvfs statvfs_of_mount;

		outcome = statvfs(entry->mountpoint, &statvfs_of_mount) == 0 ? 1 : 0;
		_exit(write(fds[1], &outcome, 1) == 1 ? 0 : 1);
	}
	close(fds[1]);
	answer.fd = fds[0];
	if (child < 0 || poll(&answer, 1, ANSWER_TIMEOUT_MS) != 1 || read(fds[0], &outcome, 1) != 1)
		outcome = 0;
	close(fds[0]);
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, outcome == 0 ? WNOHANG : 0);
	}
	return outcome == 1;
}
