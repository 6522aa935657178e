/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adding a line to the audit log.
 *
 * The head is the lock, and says where the log ends.  Line first, head second: so the log is as the head says, or one line
 * further, or ends in a line that was cut.  Anything else was not our doing; it is not repaired but shown by the next line.
 */
#include "kms/audit_append.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kms/audit_chain.h"

/* What may stand behind the last line that the head knows. */
#define TAIL_MAX (2 * AUDIT_LINE_MAX)

static void close_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void free_cleanup(char **text)
{
	free(*text);
}

/*
 *   torn           bytes behind the last whole line
 *   needs_newline  the log does not end with one
 */
struct tail {
	uint64_t size;
	uint64_t torn;
	bool head_lost;
	bool needs_newline;
};

/* The state directory is private; what is above it belongs to the system. */
static int make_state_dir(const char *state_dir)
{
	CLEANUP(free_cleanup) char *copy = strdup(state_dir);

	if (!copy)
		return -ENOMEM;
	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(copy, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

	return fd < 0 ? -errno : fd;
}

static int lock_head(const char *state_dir)
{
	CLEANUP(free_cleanup) char *path = NULL;
	int fd = audit_head_path(state_dir, &path);

	if (fd < 0)
		return fd;
	fd = open_file(path, 0);
	if (fd == -ENOENT) {
		fd = make_state_dir(state_dir);
		if (fd == 0)
			fd = open_file(path, 0);
	}
	if (fd < 0)
		return fd;
	while (flock(fd, LOCK_EX) < 0) {
		int error = -errno;

		if (error == -EINTR)
			continue;
		close(fd);
		return error;
	}
	return fd;
}

/* ---- Where the log ends -------------------------------------------------------------------------- */

static void follow(const struct audit_link *link, uint64_t end, struct audit_head *head)
{
	head->sequence = link->sequence;
	head->offset = end;
	memcpy(head->hash, link->hash, sizeof(head->hash));
}

/* Lines that were written before their head could be. */
static int follow_lines(int fd, struct audit_head *head, struct tail *tail)
{
	CLEANUP(free_cleanup) char *data = malloc(TAIL_MAX);
	const size_t size = (size_t)(tail->size - head->offset);
	const char *line = data;
	const char *end;

	if (!data)
		return -ENOMEM;
	if (pread(fd, data, size, (off_t)head->offset) != (ssize_t)size)
		return -EIO;
	while ((end = memchr(line, '\n', size - (size_t)(line - data))) != NULL) {
		struct audit_link link;
		int r = audit_link_read(audit_span(line, (size_t)(end - line)), &link);

		if (r < 0 && r != -EBADMSG)
			return r;
		if (r < 0 || !audit_link_is_genuine(&link) || !audit_link_follows(&link, head))
			break;
		follow(&link, head->offset + (uint64_t)(end + 1 - line), head);
		line = end + 1;
	}
	return 0;
}

/* Number of the first line of the log, or 1. */
static uint64_t first_sequence(int fd)
{
	CLEANUP(free_cleanup) char *data = malloc(AUDIT_LINE_MAX);
	ssize_t size = data ? pread(fd, data, AUDIT_LINE_MAX, 0) : -1;
	const char *end = size > 0 ? memchr(data, '\n', (size_t)size) : NULL;
	struct audit_link link;

	if (!end || audit_link_read(audit_span(data, (size_t)(end - data)), &link) < 0)
		return 1;
	return link.sequence;
}

/* No head: go on after the last line that is whole. */
static int find_last_line(int fd, struct audit_head *head, struct tail *tail)
{
	CLEANUP(free_cleanup) char *data = malloc(TAIL_MAX);
	const uint64_t start = tail->size > TAIL_MAX ? tail->size - TAIL_MAX : 0;
	const size_t size = (size_t)(tail->size - start);

	if (!data)
		return -ENOMEM;
	if (pread(fd, data, size, (off_t)start) != (ssize_t)size)
		return -EIO;
	for (const char *line = data; line < data + size;) {
		const char *end = memchr(line, '\n', size - (size_t)(line - data));
		struct audit_link link;
		int r;

		if (!end)
			break;
		r = audit_link_read(audit_span(line, (size_t)(end - line)), &link);
		if (r < 0 && r != -EBADMSG)
			return r;
		if (r == 0 && audit_link_is_genuine(&link))
			follow(&link, start + (uint64_t)(end + 1 - data), head);
		line = end + 1;
	}
	head->first = first_sequence(fd);
	tail->head_lost = true;
	return 0;
}

static int find_end(int fd, bool has_head, struct audit_head *head, struct tail *tail)
{
	char last = '\n';
	struct stat stat;
	int r = 0;

	if (fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return -EINVAL;
	tail->size = (uint64_t)stat.st_size;
	if (tail->size > 0 && pread(fd, &last, 1, stat.st_size - 1) != 1)
		return -EIO;
	tail->needs_newline = last != '\n';
	if (tail->size > head->offset && tail->size - head->offset <= TAIL_MAX)
		r = follow_lines(fd, head, tail);
	/* The first line of all may have lost its head in a crash; any other had one. */
	if (r == 0 && !has_head && (tail->size > head->offset || head->sequence > 1))
		r = find_last_line(fd, head, tail);
	if (r == 0 && tail->size > head->offset)
		tail->torn = tail->size - head->offset + tail->needs_newline;
	return r;
}

/* ---- Writing ------------------------------------------------------------------------------------- */

static int compose(const struct audit_head *head, const struct tail *tail, const char *members,
		   struct text *line, char hash[static AUDIT_HASH_SIZE])
{
	const size_t start = tail->needs_newline;
	int r;

	if (tail->needs_newline)
		text_add(line, "\n");
	text_add_format(line, "{\"sequence\":%" PRIu64 ",\"previous\":\"%s\"", head->sequence + 1,
			head->hash);
	if (tail->torn)
		text_add_format(line, ",\"torn\":%" PRIu64, tail->torn);
	if (tail->head_lost)
		text_add(line, ",\"head_lost\":true");
	text_add(line, members);
	r = text_check(line);
	if (r == 0)
		r = audit_hash(audit_span(line->data + start, line->size - start), hash);
	if (r < 0)
		return r;
	text_add_format(line, ",\"hash\":\"%s\"}\n", hash);
	return text_check(line);
}

static int write_line(int fd, const char *members, const struct tail *tail, struct audit_head *head)
{
	CLEANUP(text_free) struct text line = { 0 };
	char hash[AUDIT_HASH_SIZE];
	ssize_t written;
	int r = compose(head, tail, members, &line, hash);

	if (r < 0)
		return r;
	written = write(fd, line.data, line.size);
	if (written < 0)
		return -errno;
	if ((size_t)written != line.size)
		return -ENOSPC;
	if (fdatasync(fd) < 0)
		return -errno;
	head->sequence++;
	head->offset = tail->size + line.size;
	memcpy(head->hash, hash, sizeof(head->hash));
	return 0;
}

static bool is_whole_file(const char *path, uint64_t size)
{
	struct stat stat;

	return lstat(path, &stat) == 0 && S_ISREG(stat.st_mode) && (uint64_t)stat.st_size == size;
}

/* A log that is full is put away; so is one whose head was not written any more when that was done. */
static int turn_over(const char *path, struct audit_head *head)
{
	CLEANUP(free_cleanup) char *old_path = NULL;
	bool is_done;
	int r;

	if (head->sequence == 0 || head->offset == 0)
		return 0;
	r = audit_old_path(path, head->first, &old_path);
	if (r < 0)
		return r;
	is_done = access(path, F_OK) < 0 && errno == ENOENT &&
		  is_whole_file(old_path, head->offset);
	if (!is_done) {
		if (head->offset < AUDIT_FILE_SIZE_MAX || !is_whole_file(path, head->offset))
			return 0;
		if (rename(path, old_path) < 0)
			return -errno;
	}
	head->first = head->sequence + 1;
	head->offset = 0;
	return 0;
}

int audit_append_line(const char *path, const char *state_dir, const char *members)
{
	CLEANUP(close_cleanup) int head_fd = lock_head(state_dir);
	CLEANUP(close_cleanup) int fd = -1;
	struct audit_head head;
	struct tail tail = { 0 };
	bool has_head;
	int r;

	if (head_fd < 0)
		return head_fd;
	audit_head_init(&head);
	has_head = audit_head_read(head_fd, &head);
	r = turn_over(path, &head);
	if (r < 0)
		return r;
	fd = open_file(path, O_APPEND);
	if (fd < 0)
		return fd;
	r = find_end(fd, has_head, &head, &tail);
	if (r == 0)
		r = write_line(fd, members, &tail, &head);
	return r < 0 ? r : audit_head_write(head_fd, &head);
}
