/* SPDX-License-Identifier: Apache-2.0 */
/* Mode, owner, time and attributes of an object of a sealed snapshot, written again as its manifest has them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/object.h"
#include "fs/store/repair_internal.h"
#include "fs/store/store_internal.h"
#include "fs/store/xattr_stored.h"

#define NAMES_SIZE 65536
#define VALUE_SIZE 65536

struct restoring {
	const struct repair_object *object;
	const struct repair_location *location;
	struct xattr_target target;
	struct xattr_object id;
	struct dek *dek;
	char names[NAMES_SIZE];
	uint8_t value[VALUE_SIZE];
	uint8_t below[VALUE_SIZE];
};

/* ---- Attributes ------------------------------------------------------------------------------ */

static bool is_acl(const char *name)
{
	return strncmp(name, "system.posix_acl_", strlen("system.posix_acl_")) == 0;
}

/* Every copy of an attribute, under whatever key it is. */
static int remove_attribute(struct restoring *restoring, const char *name)
{
	struct xattr_scan scan;
	const char *stored;
	int r;

	if (is_acl(name))
		return xattr_remove_below(&restoring->target, name);
	r = xattr_scan_begin(&scan, &restoring->target);
	if (r < 0)
		return r;
	while ((r = xattr_scan_find(&scan, name, &stored)) == 0) {
		r = xattr_remove_below(&restoring->target, stored);
		if (r < 0)
			break;
	}
	xattr_scan_end(&scan);
	return r == -ENODATA ? 0 : r;
}

static int write_attribute(struct restoring *restoring, const char *name)
{
	const struct repair_location *location = restoring->location;
	const ssize_t size = sealed_xattr_get(restoring->object->view, &location->sealed, name,
					      restoring->value, VALUE_SIZE);
	ssize_t below;
	int r;

	if (size < 0)
		return (int)size;

	const struct xattr_plain plain = { name, { restoring->value, (size_t)size } };

	below = xattr_get(&restoring->target, name, restoring->below, VALUE_SIZE);
	if (below == size && memcmp(restoring->below, restoring->value, (size_t)size) == 0)
		return 0;
	if (is_acl(name))
		return xattr_set_below(&restoring->target, name, plain.value, 0);
	r = remove_attribute(restoring, name);
	return r < 0 ? r
		     : xattr_store(&restoring->target, restoring->dek, restoring->id.id, &plain);
}

static int remove_added(struct restoring *restoring)
{
	const struct repair_location *location = restoring->location;
	ssize_t size = xattr_list(&restoring->target, restoring->names, NAMES_SIZE);
	int r = 0;

	if (size < 0)
		return size == -EOPNOTSUPP ? 0 : (int)size;
	for (size_t at = 0; r == 0 && at < (size_t)size; at += strlen(restoring->names + at) + 1) {
		const char *name = restoring->names + at;
		const ssize_t expected = sealed_xattr_get(restoring->object->view,
							  &location->sealed, name, NULL, 0);

		if (expected == -ENODATA)
			r = remove_attribute(restoring, name);
		else if (expected < 0)
			r = (int)expected;
	}
	return r;
}

static int write_all_attributes(struct restoring *restoring)
{
	const struct repair_location *location = restoring->location;
	const ssize_t size = sealed_xattr_list(restoring->object->view, &location->sealed,
					       restoring->names, NAMES_SIZE);
	int r = size < 0 ? (int)size : 0;

	for (size_t at = 0; r == 0 && at < (size_t)size; at += strlen(restoring->names + at) + 1)
		r = write_attribute(restoring, restoring->names + at);
	return r;
}

static int restore_attributes(struct restoring *restoring)
{
	struct store *store = restoring->location->place.store;
	int r = xattr_object(&restoring->target, &restoring->id);

	if (r == 0 && S_ISREG(restoring->target.type))
		r = store_dek(store, &restoring->id.dek, &restoring->dek);
	else if (r == 0)
		r = snapshot_name_dek(restoring->location->place.snapshot, &restoring->dek);
	if (r == 0)
		r = store_check_trust(store, restoring->dek);
	if (r == 0)
		r = remove_added(restoring);
	return r < 0 ? r : write_all_attributes(restoring);
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static int set_owner_and_mode(const struct repair_location *location)
{
	const struct manifest_object *sealed = &location->sealed;
	char path[64];
	int fd;
	int r = 0;

	if (fchownat(location->place.fd, location->backing, sealed->uid, sealed->gid,
		     AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
		return -errno;
	if (S_ISLNK(sealed->mode))
		return 0;
	fd = openat(location->place.fd, location->backing[0] == '\0' ? "." : location->backing,
		    O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (chmod(path, sealed->mode & 07777) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int set_time(const struct repair_location *location)
{
	const struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = location->sealed.mtime_s, .tv_nsec = location->sealed.mtime_ns },
	};
	const char *name = location->backing[0] == '\0' ? "." : location->backing;

	return utimensat(location->place.fd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int repair_metadata(const struct repair_object *object, const struct repair_location *location)
{
	struct restoring *restoring = calloc(1, sizeof(*restoring));
	int r;

	if (!restoring)
		return -ENOMEM;
	restoring->object = object;
	restoring->location = location;
	restoring->target = (struct xattr_target){ &location->place, location->backing,
						   location->sealed.mode };
	r = set_owner_and_mode(location);
	if (r == 0)
		r = restore_attributes(restoring);
	if (r == 0)
		r = set_time(location);
	dek_put(restoring->dek);
	free(restoring);
	return r;
}
