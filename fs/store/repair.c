/* SPDX-License-Identifier: Apache-2.0 */
/* What can be done about a finding, and doing it. */
#include "fs/store/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/entry.h"
#include "fs/store/name_internal.h"
#include "fs/store/repair_internal.h"
#include "meta/format/sealed_value.h"

const char *repair_action_name(enum repair_action action)
{
	static const char *const names[REPAIR_ACTION_COUNT] = {
		[REPAIR_NOTHING] = "none",
		[REPAIR_TERMINATE] = "terminate",
		[REPAIR_CUT] = "cut",
		[REPAIR_METADATA] = "metadata",
		[REPAIR_INDEX] = "index",
		[REPAIR_QUARANTINE] = "quarantine",
		[REPAIR_NAMES] = "quarantine-names",
	};

	return names[action];
}

/* ---- Planning -------------------------------------------------------------------------------- */

/* In a directory: the names in it that do not decrypt. */
static int plan_tampered(const struct repair_location *location, enum repair_action *ret_action)
{
	char target[SYMLINK_TARGET_MAX + 1];

	if (S_ISDIR(location->stat.st_mode)) {
		*ret_action = REPAIR_NAMES;
		return 0;
	}
	if (S_ISREG(location->stat.st_mode))
		return repair_plan_file(location, ret_action);
	if (S_ISLNK(location->stat.st_mode) &&
	    entry_readlink(&location->place, location->backing, target, sizeof(target)) == -EBADMSG)
		*ret_action = REPAIR_QUARANTINE;
	return 0;
}

static int plan(const struct repair_object *object, const struct repair_location *location,
		enum finding_class class, enum repair_action *ret_action)
{
	switch (class) {
	case FINDING_INDEX:
		*ret_action = REPAIR_INDEX;
		return 0;
	case FINDING_METADATA:
		*ret_action = location->is_in_manifest ? REPAIR_METADATA : REPAIR_NOTHING;
		return 0;
	case FINDING_ADDED:
		*ret_action = object->view && object->path[0] != '\0' ? REPAIR_QUARANTINE
								      : REPAIR_NOTHING;
		return 0;
	case FINDING_TAMPERED:
	case FINDING_TORN:
	case FINDING_UNTERMINATED:
		/* A sealed snapshot is what it was or it is not; nothing can be added to it. */
		return object->view ? 0 : plan_tampered(location, ret_action);
	default:
		return 0;
	}
}

int repair_plan(const struct repair_object *object, enum finding_class class,
		enum repair_action *ret_action)
{
	CLEANUP(repair_location_cleanup) struct repair_location location = { .place.fd = -1 };
	int r;

	*ret_action = REPAIR_NOTHING;
	if (snapshot_state(object->snapshot) == SNAPSHOT_FOREIGN ||
	    !snapshot_is_encrypted(object->snapshot))
		return 0;
	r = repair_locate(object, &location);
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return 0;
	return r < 0 ? r : plan(object, &location, class, ret_action);
}

/* ---- Doing it -------------------------------------------------------------------------------- */

static int apply_names(const struct repair_location *location)
{
	struct place place = location->place;
	int r;

	if (location->backing[0] == '\0')
		return repair_names(&place);
	place.fd = open_beneath(location->place.fd, location->backing,
				O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (place.fd < 0)
		return place.fd;
	place.depth++;
	r = repair_names(&place);
	close(place.fd);
	return r;
}

int repair_apply(const struct repair_object *object, enum repair_action action)
{
	CLEANUP(repair_location_cleanup) struct repair_location location = { .place.fd = -1 };
	int r = repair_locate(object, &location);

	if (r < 0)
		return r;
	switch (action) {
	case REPAIR_TERMINATE:
	case REPAIR_CUT:
		return repair_end(&location, action == REPAIR_CUT);
	case REPAIR_METADATA:
		return location.is_in_manifest ? repair_metadata(object, &location) : -ENOENT;
	case REPAIR_INDEX:
		return repair_index(&location);
	case REPAIR_QUARANTINE:
		return location.backing[0] == '\0'
			       ? -EINVAL
			       : repair_move_aside(&location.place, location.backing);
	case REPAIR_NAMES:
		return apply_names(&location);
	default:
		return -EINVAL;
	}
}

/* ---- Sidecars -------------------------------------------------------------------------------- */

struct sweeping {
	bool is_dry;
	uint64_t *count;
	unsigned depth;
};

#define DEPTH_MAX 4096

static int sweep(struct sweeping *sweeping, int fd);

static int sweep_entry(struct sweeping *sweeping, int fd, const char *name)
{
	char entry[NAME_LONG_SIZE + 1];
	struct stat stat;
	int child;
	int r;

	if (name_is_sidecar(name, entry)) {
		if (fstatat(fd, entry, &stat, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
			return 0;
		(*sweeping->count)++;
		return sweeping->is_dry || unlinkat(fd, name, 0) == 0 ? 0 : -errno;
	}
	if (fstatat(fd, name, &stat, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(stat.st_mode))
		return 0;
	if (sweeping->depth == DEPTH_MAX)
		return -ELOOP;
	child = open_beneath(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (child < 0)
		return 0;
	sweeping->depth++;
	r = sweep(sweeping, child);
	sweeping->depth--;
	close(child);
	return r;
}

static int sweep(struct sweeping *sweeping, int fd)
{
	char **names = NULL;
	size_t count = 0;
	int r = directory_names(fd, ".", NULL, &names, &count);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = sweep_entry(sweeping, fd, names[i]);
	names_free(names, count);
	return r;
}

int repair_sidecars(struct snapshot *snapshot, int fd, bool is_dry, uint64_t *count)
{
	struct sweeping sweeping = { .is_dry = is_dry, .count = count };

	if (!snapshot_has_encrypted_names(snapshot) ||
	    store_snapshot_is_sealed(snapshot_store(snapshot), snapshot_id(snapshot)))
		return 0;
	return sweep(&sweeping, fd);
}
