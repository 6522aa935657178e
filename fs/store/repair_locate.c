/* SPDX-License-Identifier: Apache-2.0 */
/* From the path in a finding to what is below. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/repair_internal.h"

void repair_location_cleanup(struct repair_location *location)
{
	if (location->place.fd >= 0)
		close(location->place.fd);
	location->place.fd = -1;
}

/* A name that does not decrypt stands in a finding as it is below. */
static int find_backing(const struct place *place, const char *name,
			char backing[static BACKING_NAME_SIZE])
{
	struct backing_name encoded;
	struct stat stat;
	int r = name_encode(place, name, &encoded);

	if (r == 0 && fstatat(place->fd, encoded.text, &stat, AT_SYMLINK_NOFOLLOW) == 0) {
		strcpy(backing, encoded.text);
		return 0;
	}
	if (r == -EAGAIN || r == -ENOMEM || strlen(name) >= BACKING_NAME_SIZE)
		return r < 0 ? r : -ENOENT;
	strcpy(backing, name);
	return 0;
}

static int step_into(struct repair_location *location, const char *backing)
{
	const int fd = open_beneath(location->place.fd, backing,
				    O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	const size_t used = strlen(location->path);

	if (fd < 0)
		return fd;
	close(location->place.fd);
	location->place.fd = fd;
	location->place.depth++;
	/* For messages only. */
	if (used + strlen(backing) + 2 < sizeof(location->path))
		sprintf(location->path + used, "%s%s", used > 0 ? "/" : "", backing);
	return 0;
}

/* The manifest's object beside it, as far as there is one. */
static int follow_manifest(const struct repair_object *object, struct repair_location *location,
			   const char *name)
{
	struct sealed_entry entry;
	int r;

	if (!object->view || !location->is_in_manifest)
		return 0;
	location->is_in_manifest = false;
	if (!S_ISDIR(location->sealed.mode))
		return 0;
	r = sealed_lookup(object->view, &location->sealed, name, &entry);
	if (r == 0)
		r = sealed_object(object->view, entry.object, &location->sealed);
	if (r == 0) {
		location->index = entry.object;
		location->is_in_manifest = true;
	}
	return r == -ENOENT ? 0 : r;
}

static int walk_path_down(const struct repair_object *object, struct repair_location *location)
{
	const char *at = object->path;

	while (*at != '\0') {
		const size_t length = strcspn(at, "/");
		char name[NAME_MAX + 1];
		int r = 0;

		if (length == 0 || length > NAME_MAX)
			return -ENOENT;
		memcpy(name, at, length);
		name[length] = '\0';
		if (location->backing[0] != '\0')
			r = step_into(location, location->backing);
		if (r == 0)
			r = find_backing(&location->place, name, location->backing);
		if (r == 0)
			r = follow_manifest(object, location, name);
		if (r < 0)
			return r;
		at += length + (at[length] == '/');
	}
	return 0;
}

int repair_locate(const struct repair_object *object, struct repair_location *ret_location)
{
	struct store *store = snapshot_store(object->snapshot);
	struct repair_location *location = ret_location;
	const bool is_root = snapshot_kind(object->snapshot) == SNAPSHOT_ROOT;
	int r = 0;

	*location = (struct repair_location){
		.place = { .store = store,
			   .snapshot = object->snapshot,
			   .fd = fcntl(object->fd, F_DUPFD_CLOEXEC, 0),
			   .depth = is_root ? 0 : store_volume(store)->snapshot_depth,
			   .path = location->path },
		.is_in_manifest = object->view != NULL,
	};
	if (location->place.fd < 0)
		return -errno;
	snprintf(location->path, sizeof(location->path), "%s",
		 is_root ? "" : snapshot_name(object->snapshot));
	if (object->view)
		r = sealed_object(object->view, SEALED_ROOT, &location->sealed);
	if (r == 0)
		r = walk_path_down(object, location);
	if (r == 0 && fstatat(location->place.fd, location->backing, &location->stat,
			      AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		r = -errno;
	if (r < 0)
		repair_location_cleanup(location);
	return r;
}
