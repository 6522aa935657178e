/* SPDX-License-Identifier: Apache-2.0 */
/* Identity files. */
#include "fs/store/snapshot_identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/control.h"
#include "fs/store/whole_file.h"
#include "meta/records/record.h"

#define IDENTITY_SIZE_MAX 16384

static int write_file(int dir_fd, const char *text)
{
	/* Ids and a signature, nothing secret: tools that copy the directory as another user may read it. */
	int fd = open_beneath(dir_fd, IDENTITY_FILE, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
			      0644);
	int r;

	if (fd < 0)
		return fd;
	r = whole_file_write(fd, text, strlen(text));
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir_fd, IDENTITY_FILE, 0);
	return r;
}

int identity_write(struct trust *trust, int dir_fd, const struct identity *identity)
{
	char *line = NULL;
	char *text = NULL;
	int r = identity_encode(identity, &line);

	if (r == 0)
		r = trust_sign(trust, line, &text);
	if (r == 0)
		r = write_file(dir_fd, text);
	free(line);
	free(text);
	return r;
}

int identity_read(struct trust *trust, int dir_fd, struct identity *ret_identity,
		  enum trust_origin *ret_origin)
{
	struct signed_record record;
	int r = signed_record_load(trust, dir_fd, IDENTITY_FILE, &record);

	if (r < 0)
		return r;
	r = identity_decode(record.record.line, ret_identity);
	if (r == 0)
		*ret_origin = record.origin;
	signed_record_free(&record);
	return r;
}

int identity_peek(int dir_fd, const char *path, struct uuid *ret_snapshot)
{
	char name[PATH_MAX];
	struct identity identity;
	struct record record;
	char *data = NULL;
	size_t size;
	int fd;
	int r;

	if (snprintf(name, sizeof(name), "%s/" IDENTITY_FILE, path) >= (int)sizeof(name))
		return -ENAMETOOLONG;
	fd = open_beneath(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	r = whole_file_read(fd, IDENTITY_SIZE_MAX, &data, &size);
	close(fd);
	if (r < 0)
		return r;
	r = record_split((struct bytes){ (const uint8_t *)data, size }, &record);
	if (r == 0)
		r = identity_decode(record.line, &identity);
	if (r == 0) {
		*ret_snapshot = identity.snapshot;
		identity_free(&identity);
	}
	free(data);
	return r;
}
