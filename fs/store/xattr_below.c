/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attribute calls on the filesystem below.
 *
 * Directories are held by O_PATH descriptors, on which fgetxattr(2) does not work; but a path
 * through /proc/self/fd does, in one call.  The one component behind it is never followed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "fs/store/xattr_stored.h"

#define PATH_SIZE (sizeof("/proc/self/fd/2147483647/") + BACKING_NAME_SIZE)

bool xattr_is_ours(const char *name)
{
	return strncmp(name, "user.snapcrypt.", 15) == 0 ||
	       strncmp(name, "trusted.snapcrypt.", 18) == 0;
}

/* Without a component the descriptor's own link is what has to be followed. */
static bool is_self(const struct xattr_target *target)
{
	return target->backing[0] == '\0';
}

static void make_path(const struct xattr_target *target, char path[static PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "/proc/self/fd/%d%s%s", target->parent->fd,
		 is_self(target) ? "" : "/", target->backing);
}

ssize_t xattr_get_below(const struct xattr_target *target, const char *stored, uint8_t *value,
			size_t size)
{
	char path[PATH_SIZE];
	ssize_t r;

	make_path(target, path);
	r = is_self(target) ? getxattr(path, stored, value, size)
			    : lgetxattr(path, stored, value, size);
	return r < 0 ? -errno : r;
}

ssize_t xattr_list_below(const struct xattr_target *target, char *names, size_t size)
{
	char path[PATH_SIZE];
	ssize_t r;

	make_path(target, path);
	r = is_self(target) ? listxattr(path, names, size) : llistxattr(path, names, size);
	return r < 0 ? -errno : r;
}

int xattr_set_below(const struct xattr_target *target, const char *stored, struct bytes value,
		    int flags)
{
	char path[PATH_SIZE];
	int r;

	make_path(target, path);
	r = is_self(target) ? setxattr(path, stored, value.data, value.size, flags)
			    : lsetxattr(path, stored, value.data, value.size, flags);
	return r < 0 ? -errno : 0;
}

int xattr_remove_below(const struct xattr_target *target, const char *stored)
{
	char path[PATH_SIZE];
	int r;

	make_path(target, path);
	r = is_self(target) ? removexattr(path, stored) : lremovexattr(path, stored);
	return r < 0 ? -errno : 0;
}

void xattr_buffer_free(struct xattr_buffer *buffer)
{
	free(buffer->large);
	buffer->large = NULL;
}

/* STORED NULL: the list of names. */
static ssize_t read_any(const struct xattr_target *target, const char *stored, uint8_t *data,
			size_t size)
{
	return stored ? xattr_get_below(target, stored, data, size)
		      : xattr_list_below(target, (char *)data, size);
}

int xattr_read_below(const struct xattr_target *target, const char *stored,
		     struct xattr_buffer *ret_value)
{
	uint8_t *data = ret_value->small;
	ssize_t size = read_any(target, stored, data, sizeof(ret_value->small));

	ret_value->large = NULL;
	if (size == -ERANGE) {
		ret_value->large = malloc(XATTR_STORED_MAX);
		if (!ret_value->large)
			return -ENOMEM;
		data = ret_value->large;
		size = read_any(target, stored, data, XATTR_STORED_MAX);
	}
	if (size < 0) {
		xattr_buffer_free(ret_value);
		return (int)size;
	}
	ret_value->bytes = (struct bytes){ data, (size_t)size };
	return 0;
}
