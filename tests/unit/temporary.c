/* SPDX-License-Identifier: Apache-2.0 */
/* A directory for one test: temporary.h. */
#include "tests/unit/temporary.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int temporary_open(void)
{
	const char *base = getenv("TMPDIR");
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/snapcrypt-test.XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(path)) {
		perror(path);
		abort();
	}
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		abort();
	return fd;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *position)
{
	(void)stat;
	(void)type;
	(void)position;
	return remove(path);
}

void temporary_remove(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t size;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	size = readlink(link, path, sizeof(path) - 1);
	if (size <= 0)
		abort();
	path[size] = '\0';
	close(fd);
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
