/* SPDX-License-Identifier: Apache-2.0 */
/* Type, target, mode, owner, time and attributes below, against those of a manifest. */
#include "fs/store/sealed_compare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fs/store/entry.h"
#include "fs/store/xattr.h"
#include "meta/format/sealed_value.h"

#define DIFFERS    1
#define VALUE_SIZE 65536
#define NAMES_SIZE 65536

__attribute__((format(printf, 3, 4))) static int differs(struct sealed_difference *difference,
							 enum finding_class class,
							 const char *format, ...)
{
	va_list arguments;

	difference->class = class;
	va_start(arguments, format);
	vsnprintf(difference->text, sizeof(difference->text), format, arguments);
	va_end(arguments);
	return DIFFERS;
}

/* ---- What it is ------------------------------------------------------------------------------ */

static int compare_target(const struct sealed_item *item, struct sealed_difference *difference)
{
	char expected[MANIFEST_TARGET_MAX + 1];
	char target[MANIFEST_TARGET_MAX + 1];
	int r = manifest_read_target(sealed_view_manifest(item->view), item->object, expected);

	if (r < 0)
		return r;
	r = entry_readlink(item->parent, item->backing, target, sizeof(target));
	if (r == -EBADMSG || r == -ENOENT || r == -ENAMETOOLONG)
		return differs(difference, FINDING_TAMPERED, "its target is not authentic");
	if (r < 0)
		return r;
	if (strcmp(target, expected) != 0)
		return differs(difference, FINDING_TAMPERED, "its target was changed");
	return 0;
}

static int compare_type(const struct sealed_item *item, const struct stat *below,
			struct sealed_difference *difference)
{
	const struct manifest_object *object = item->object;

	if ((below->st_mode & S_IFMT) != (object->mode & S_IFMT))
		return differs(difference, FINDING_TAMPERED, "something of another type is there");
	if ((S_ISCHR(below->st_mode) || S_ISBLK(below->st_mode)) &&
	    below->st_rdev != makedev(object->device_major, object->device_minor))
		return differs(difference, FINDING_TAMPERED, "it is another device");
	return S_ISLNK(below->st_mode) ? compare_target(item, difference) : 0;
}

/* ---- What is said about it ------------------------------------------------------------------- */

static int compare_numbers(const struct manifest_object *object, const struct stat *below,
			   struct sealed_difference *difference)
{
	if (!S_ISLNK(below->st_mode) && (below->st_mode & 07777) != (object->mode & 07777))
		return differs(difference, FINDING_METADATA, "its mode is %o, sealed with %o",
			       below->st_mode & 07777, object->mode & 07777);
	if (below->st_uid != object->uid || below->st_gid != object->gid)
		return differs(difference, FINDING_METADATA,
			       "its owner is %u:%u, sealed with %u:%u", below->st_uid,
			       below->st_gid, object->uid, object->gid);
	if (below->st_mtim.tv_sec != object->mtime_s ||
	    (uint32_t)below->st_mtim.tv_nsec != object->mtime_ns)
		return differs(difference, FINDING_METADATA, "its time was changed");
	return 0;
}

struct buffers {
	char names[NAMES_SIZE];
	uint8_t value[VALUE_SIZE];
	uint8_t expected[VALUE_SIZE];
};

static bool is_listed(const char *names, size_t size, const char *name)
{
	for (size_t at = 0; at < size; at += strlen(names + at) + 1) {
		if (strcmp(names + at, name) == 0)
			return true;
	}
	return false;
}

/* Of one attribute of the manifest. */
static int compare_value(const struct sealed_item *item, const struct xattr_target *target,
			 const char *name, struct buffers *buffers,
			 struct sealed_difference *difference)
{
	const ssize_t expected = sealed_xattr_get(item->view, item->object, name, buffers->expected,
						  VALUE_SIZE);
	ssize_t size;

	if (expected < 0)
		return (int)expected;
	size = xattr_get(target, name, buffers->value, VALUE_SIZE);
	if (size == -ENODATA)
		return differs(difference, FINDING_METADATA, "its attribute %s is missing", name);
	if (size == -EBADMSG)
		return differs(difference, FINDING_METADATA, "its attribute %s is not authentic",
			       name);
	if (size < 0)
		return size == -EOPNOTSUPP ? differs(difference, FINDING_METADATA,
						     "its attribute %s is missing", name)
					   : (int)size;
	if (size != expected || memcmp(buffers->value, buffers->expected, (size_t)size) != 0)
		return differs(difference, FINDING_METADATA, "its attribute %s was changed", name);
	return 0;
}

static int compare_lists(const struct sealed_item *item, const struct xattr_target *target,
			 struct buffers *buffers, struct sealed_difference *difference)
{
	char *expected = malloc(NAMES_SIZE);
	ssize_t expected_size = expected ? sealed_xattr_list(item->view, item->object, expected,
							     NAMES_SIZE)
					 : -ENOMEM;
	ssize_t size = 0;
	int r = expected_size < 0 ? (int)expected_size : 0;

	for (size_t at = 0; r == 0 && at < (size_t)expected_size; at += strlen(expected + at) + 1)
		r = compare_value(item, target, expected + at, buffers, difference);
	if (r == 0) {
		size = xattr_list(target, buffers->names, NAMES_SIZE);
		r = size < 0 && size != -EOPNOTSUPP ? (int)size : 0;
	}
	for (size_t at = 0; r == 0 && size > 0 && at < (size_t)size;
	     at += strlen(buffers->names + at) + 1) {
		if (!is_listed(expected, (size_t)expected_size, buffers->names + at))
			r = differs(difference, FINDING_METADATA, "attribute %s was added",
				    buffers->names + at);
	}
	free(expected);
	return r;
}

/* Nearly always there are none, here and there. */
static int compare_attributes(const struct sealed_item *item, mode_t type,
			      struct sealed_difference *difference)
{
	const struct xattr_target target = { item->parent, item->backing, type };
	const ssize_t below = xattr_list(&target, NULL, 0);
	struct buffers *buffers;
	int r;

	if (item->object->attribute_count == 0 && (below == 0 || below == -EOPNOTSUPP))
		return 0;
	buffers = malloc(sizeof(*buffers));
	if (!buffers)
		return -ENOMEM;
	r = compare_lists(item, &target, buffers, difference);
	free(buffers);
	return r;
}

int sealed_compare(const struct sealed_item *item, struct sealed_difference *ret_difference)
{
	const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH;
	struct stat below;
	int r;

	if (fstatat(item->parent->fd, item->backing, &below, flags) < 0)
		return errno == ENOENT ? differs(ret_difference, FINDING_MISSING, "it is gone")
				       : -errno;
	r = compare_type(item, &below, ret_difference);
	if (r == 0)
		r = compare_numbers(item->object, &below, ret_difference);
	return r != 0 ? r : compare_attributes(item, below.st_mode, ret_difference);
}
