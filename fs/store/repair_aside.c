/* SPDX-License-Identifier: Apache-2.0 */
/* .snapcrypt/quarantine: each thing in a directory of its own, so that nothing there is ever replaced. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/name_internal.h"
#include "fs/store/repair_internal.h"
#include "fs/store/store_internal.h"
#include "fs/store/whole_file.h"
#include "kms/crypto/random.h"

#define QUARANTINE "quarantine"

static int make_cell(struct store *store, int *ret_fd)
{
	char name[CONTROL_NAME_SIZE];
	char id_text[UUID_TEXT_SIZE];
	struct uuid id;
	int fd;
	int r = random_uuid(&id);

	if (r < 0)
		return r;
	uuid_format(&id, id_text);
	snprintf(name, sizeof(name), QUARANTINE "/%s", id_text);
	r = control_make_directory(store->control_fd, name);
	if (r < 0)
		return r;
	fd = open_beneath(store->control_fd, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

int repair_move_aside(const struct place *place, const char *backing)
{
	struct stat stat;
	int cell;
	int r = make_cell(place->store, &cell);

	if (r < 0)
		return r;
	if (fstat(place->fd, &stat) < 0 || renameat(place->fd, backing, cell, backing) < 0)
		r = -errno;
	if (r == 0) {
		const struct timespec times[2] = { stat.st_atim, stat.st_mtim };

		/* A sealed directory's time is part of what was sealed. */
		if (futimens(place->fd, times) < 0 || fsync(cell) < 0 || fsync(place->fd) < 0)
			r = -errno;
	}
	close(cell);
	return r;
}

int repair_keep_aside(const struct place *place, const char *backing, const uint8_t *data,
		      size_t size)
{
	int cell;
	int fd;
	int r = make_cell(place->store, &cell);

	if (r < 0)
		return r;
	fd = openat(cell, backing, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = fd < 0 ? -errno : whole_file_write(fd, data, size);
	if (r == 0 && (fsync(fd) < 0 || fsync(cell) < 0))
		r = -errno;
	if (fd >= 0)
		close(fd);
	close(cell);
	return r;
}

static bool is_shown(const char *name)
{
	return !name_is_reserved(name);
}

int repair_names(const struct place *place)
{
	char **names = NULL;
	size_t count = 0;
	size_t moved = 0;
	int r = directory_names(place->fd, ".", is_shown, &names, &count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		char plain[256];

		r = name_decode(place, names[i], plain);
		if (r == -EBADMSG) {
			r = repair_move_aside(place, names[i]);
			moved++;
		} else if (r == -ENODATA) {
			r = 0;
		}
	}
	names_free(names, count);
	return r == 0 && moved == 0 ? -EALREADY : r;
}
