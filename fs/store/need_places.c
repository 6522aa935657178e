/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot-level directories of a volume, as a scan finds them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/control.h"
#include "fs/store/need_internal.h"
#include "fs/store/snapshot_identity.h"

/* A snapshot that is being made: it may have its name a moment later. */
#define NEW_PREFIX CONTROL_DIRECTORY "-new-"

static bool is_listed(const char *name)
{
	return strncmp(name, CONTROL_DIRECTORY, strlen(CONTROL_DIRECTORY)) != 0 ||
	       strncmp(name, NEW_PREFIX, strlen(NEW_PREFIX)) == 0;
}

int need_add_place(struct need_scan *scan, const struct need_place *place,
		   struct need_place **ret_place)
{
	struct need_place *grown = reallocarray(scan->places, scan->place_count + 1,
						sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	scan->places = grown;
	grown[scan->place_count] = *place;
	if (ret_place)
		*ret_place = &grown[scan->place_count];
	scan->place_count++;
	return 0;
}

struct need_place *need_find_place(const struct need_scan *scan, const struct uuid *id)
{
	for (size_t i = 0; i < scan->place_count; i++)
		if (scan->places[i].path && scan->places[i].has_identity &&
		    uuid_equal(&scan->places[i].id, id))
			return &scan->places[i];
	return NULL;
}

static struct need_place *find_directory(struct need_scan *scan, const struct need_place *place)
{
	for (size_t i = 0; i < scan->place_count; i++) {
		struct need_place *known = &scan->places[i];

		if (known->path && known->device == place->device && known->inode == place->inode &&
		    known->has_identity == place->has_identity &&
		    uuid_equal(&known->id, &place->id))
			return known;
	}
	return NULL;
}

/* Without a whole identity it is foreign; only what a newer version may have written cannot be read. */
static int read_identity(struct need_scan *scan, int fd, struct need_place *place)
{
	struct identity identity;
	enum trust_origin origin;
	int r = identity_read(scan->trust, fd, &identity, &origin);

	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		place->unreadable = r != -ENOENT && r != -EBADMSG;
		return 0;
	}
	place->id = identity.snapshot;
	place->has_identity = true;
	place->kind = identity.kind;
	place->is_encrypted = identity.is_encrypted;
	place->dek = identity.dek;
	place->created_s = identity.created_s;
	place->period_s = identity.period_s;
	identity_free(&identity);
	return 0;
}

static int add_directory(struct need_scan *scan, int fd, const char *path)
{
	struct need_place place = { 0 };
	struct need_place *known;
	struct stat stat;
	int r = fstat(fd, &stat) < 0 ? -errno : 0;

	if (r < 0)
		return r;
	place.device = stat.st_dev;
	place.inode = stat.st_ino;
	r = read_identity(scan, fd, &place);
	if (r < 0)
		return r;
	/* Of a directory that nobody can identify, at least that it could not be read. */
	scan->unreadable += place.unreadable;
	place.path = strdup(path);
	if (!place.path)
		return -ENOMEM;
	known = find_directory(scan, &place);
	if (known) {
		free(known->path);
		known->path = place.path;
		known->is_seen = true;
		return 0;
	}
	place.is_seen = true;
	r = need_add_place(scan, &place, NULL);
	if (r < 0)
		free(place.path);
	return r;
}

static int list_level(struct need_scan *scan, int fd, const char *path, unsigned level);

static int list_entry(struct need_scan *scan, int parent_fd, const char *name, const char *path,
		      unsigned level)
{
	const bool is_new = strncmp(name, NEW_PREFIX, strlen(NEW_PREFIX)) == 0;
	const int fd = open_beneath(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	int r;

	/* No directory, gone, or a filesystem of its own. */
	if (fd == -ENOTDIR || fd == -ELOOP || fd == -ENOENT || fd == -EXDEV)
		return 0;
	if (fd < 0) {
		scan->unreadable++;
		return fd == -ENOMEM ? fd : 0;
	}
	r = level == scan->depth || is_new ? add_directory(scan, fd, path)
					   : list_level(scan, fd, path, level + 1);
	close(fd);
	return r;
}

static int list_level(struct need_scan *scan, int fd, const char *path, unsigned level)
{
	char **names = NULL;
	size_t count = 0;
	int r = directory_names(fd, ".", is_listed, &names, &count);

	if (r < 0) {
		scan->unreadable++;
		return r == -ENOMEM ? r : 0;
	}
	for (size_t i = 0; r == 0 && i < count; i++) {
		char child[PATH_MAX];

		if (snprintf(child, sizeof(child), "%s%s%s", path, path[0] ? "/" : "", names[i]) <
		    (int)sizeof(child))
			r = list_entry(scan, fd, names[i], child, level);
		else
			scan->unreadable++;
	}
	names_free(names, count);
	return r;
}

int need_list_places(struct need_scan *scan)
{
	int r = 0;

	scan->unreadable = 0;
	/* The root is always the first. */
	if (scan->place_count == 0)
		r = add_directory(scan, scan->root_fd, NEED_PATH_ROOT);
	return r < 0 ? r : list_level(scan, scan->root_fd, "", 1);
}
