/* SPDX-License-Identifier: Apache-2.0 */
/* Everything about an object but its content. */
#include "fs/restore/attributes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LIST_SIZE  4096
#define VALUE_SIZE 65536 /* the largest that Linux has */

void attributes_free(struct attributes *attributes)
{
	free(attributes->names);
	free(attributes->values);
	free(attributes->sizes);
	*attributes = (struct attributes){ .stat = attributes->stat };
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Where they come from: an object below, or (VIEW) a manifest. */
struct source {
	const struct xattr_target *target;
	struct sealed_view *view;
	const struct manifest_object *object;
};

static ssize_t list(const struct source *source, char *names, size_t size)
{
	return source->view != NULL ? sealed_xattr_list(source->view, source->object, names, size)
				    : xattr_list(source->target, names, size);
}

static ssize_t get(const struct source *source, const char *name, uint8_t *value, size_t size)
{
	return source->view != NULL
		       ? sealed_xattr_get(source->view, source->object, name, value, size)
		       : xattr_get(source->target, name, value, size);
}

/* Most objects have none: one call with a buffer on the stack tells. */
static int read_names(const struct source *source, struct attributes *attributes)
{
	char small[LIST_SIZE];
	ssize_t size = list(source, small, sizeof(small));

	if (size == 0 || size == -EOPNOTSUPP)
		return 0;
	if (size < 0 && size != -ERANGE)
		return (int)size;
	if (size < 0) {
		size = list(source, NULL, 0);
		if (size < 0)
			return (int)size;
	}
	attributes->names = malloc((size_t)size);
	if (attributes->names == NULL)
		return -ENOMEM;
	if ((size_t)size <= sizeof(small)) {
		memcpy(attributes->names, small, (size_t)size);
	} else {
		size = list(source, attributes->names, (size_t)size);
		if (size < 0)
			return (int)size;
	}
	attributes->names_size = (size_t)size;
	return 0;
}

static int add_value(struct attributes *attributes, const uint8_t *value, size_t size)
{
	if (attributes->values == NULL ||
	    attributes->values_size - attributes->values_used < size) {
		const size_t larger = attributes->values_size * 2 + size + 1;
		uint8_t *grown = realloc(attributes->values, larger);

		if (grown == NULL)
			return -ENOMEM;
		attributes->values = grown;
		attributes->values_size = larger;
	}
	memcpy(attributes->values + attributes->values_used, value, size);
	attributes->values_used += size;
	attributes->sizes[attributes->count++] = size;
	return 0;
}

/* NAME moves to the end of those that have been read; one that does not verify is left out. */
static int read_value(const struct source *source, const char *name, uint8_t *buffer,
		      struct attributes *attributes, size_t *kept)
{
	const size_t size = strlen(name) + 1;
	const ssize_t value_size = get(source, name, buffer, VALUE_SIZE);
	int r = 0;

	if (value_size == -EBADMSG) {
		attributes->unauthentic++;
		return 0;
	}
	/* Removed meanwhile. */
	if (value_size == -ENODATA)
		return 0;
	r = value_size < 0 ? (int)value_size : add_value(attributes, buffer, (size_t)value_size);
	if (r == 0) {
		memmove(attributes->names + *kept, name, size);
		*kept += size;
	}
	return r;
}

static int read_values(const struct source *source, struct attributes *attributes)
{
	uint8_t *buffer = malloc(VALUE_SIZE);
	size_t names = 0;
	size_t kept = 0;
	int r = buffer == NULL ? -ENOMEM : 0;

	for (size_t at = 0; at < attributes->names_size; names++)
		at += strlen(attributes->names + at) + 1;
	attributes->sizes = calloc(names + 1, sizeof(*attributes->sizes));
	if (attributes->sizes == NULL)
		r = -ENOMEM;
	for (size_t at = 0; r == 0 && at < attributes->names_size;) {
		const size_t size = strlen(attributes->names + at) + 1;

		r = read_value(source, attributes->names + at, buffer, attributes, &kept);
		at += size;
	}
	attributes->names_size = kept;
	free(buffer);
	return r;
}

static int read_all(const struct source *source, struct attributes *ret_attributes)
{
	struct attributes attributes = { .stat = ret_attributes->stat };
	int r = read_names(source, &attributes);

	if (r == 0 && attributes.names_size > 0)
		r = read_values(source, &attributes);
	if (r < 0) {
		attributes_free(&attributes);
		return r;
	}
	*ret_attributes = attributes;
	return 0;
}

int attributes_read(const struct xattr_target *target, struct attributes *ret_attributes)
{
	return read_all(&(struct source){ .target = target }, ret_attributes);
}

int attributes_read_sealed(struct sealed_view *view, const struct manifest_object *object,
			   struct attributes *ret_attributes)
{
	if (object->attribute_count == 0)
		return 0;
	return read_all(&(struct source){ .view = view, .object = object }, ret_attributes);
}

/* ---- Setting --------------------------------------------------------------------------------- */

static int set_owner(const struct attributes *attributes, const struct attributes_target *target)
{
	const uid_t uid = attributes->stat.st_uid;
	const gid_t gid = attributes->stat.st_gid;
	const int done = target->fd >= 0 ? fchown(target->fd, uid, gid)
					 : fchownat(target->dir_fd, target->name, uid, gid,
						    AT_SYMLINK_NOFOLLOW);

	return done == 0 || !target->can_chown ? 0 : -errno;
}

/* After the owner, whose change takes set-user-ID bits away. */
static int set_mode(const struct attributes *attributes, const struct attributes_target *target)
{
	mode_t mode = attributes->stat.st_mode & 07777;

	if (S_ISLNK(attributes->stat.st_mode))
		return 0;
	if (!target->can_chown)
		mode &= ~(mode_t)(S_ISUID | S_ISGID);
	/* A special file that was just made here; were it a link now, its target would be changed. */
	if (target->fd < 0) {
		char path[64 + 256];
		const int fd = openat(target->dir_fd, target->name,
				      O_PATH | O_NOFOLLOW | O_CLOEXEC);
		int r = 0;

		if (fd < 0)
			return -errno;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		r = chmod(path, mode) == 0 ? 0 : -errno;
		close(fd);
		return r == -EOPNOTSUPP ? -ELOOP : r;
	}
	return fchmod(target->fd, mode) == 0 ? 0 : -errno;
}

static int set_value(const struct attributes_target *target, const char *name, const uint8_t *value,
		     size_t size)
{
	char path[64 + 256];

	if (target->engine != NULL)
		return xattr_set(target->engine, name, value, size, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", target->dir_fd,
		 target->name == NULL ? "" : target->name);
	if ((target->fd >= 0 ? fsetxattr(target->fd, name, value, size, 0)
			     : lsetxattr(path, name, value, size, 0)) != 0)
		return -errno;
	return 0;
}

static int set_values(const struct attributes *attributes, const struct attributes_target *target)
{
	const uint8_t *value = attributes->values;
	const char *name = attributes->names;
	int r = 0;

	for (size_t i = 0; r == 0 && i < attributes->count; i++) {
		const size_t size = attributes->sizes[i];

		r = set_value(target, name, value, size);
		value += size;
		name += strlen(name) + 1;
	}
	return r;
}

static int set_times(const struct attributes *attributes, const struct attributes_target *target)
{
	const struct timespec times[2] = { attributes->stat.st_atim, attributes->stat.st_mtim };
	const int done = target->fd >= 0 ? futimens(target->fd, times)
					 : utimensat(target->dir_fd, target->name, times,
						     AT_SYMLINK_NOFOLLOW);

	return done == 0 ? 0 : -errno;
}

int attributes_apply(const struct attributes *attributes, const struct attributes_target *target)
{
	int r = set_owner(attributes, target);

	if (r == 0)
		r = set_mode(attributes, target);
	if (r == 0)
		r = set_values(attributes, target);
	return r < 0 ? r : set_times(attributes, target);
}
