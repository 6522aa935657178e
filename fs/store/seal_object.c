/* SPDX-License-Identifier: Apache-2.0 */
/* One object of a snapshot that is being sealed: its values as the manifest holds them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/entry.h"
#include "fs/store/object.h"
#include "fs/store/sealing.h"
#include "fs/store/xattr.h"

/* PLAIN: of BACKING in PARENT, or as it is below where it does not decrypt. */
static void plain_name(const struct place *parent, const char *backing, char plain[static 256])
{
	if (name_decode(parent, backing, plain) < 0)
		snprintf(plain, 256, "%s", backing);
}

char *sealing_plain_path(const struct sealing *sealing, const struct place *parent,
			 const char *backing)
{
	struct place place = *parent;
	const char *at = parent->path + strlen(snapshot_name(sealing->snapshot));
	char plain[256];
	char *path = strdup("");

	place.depth = sealing->store->volume.snapshot_depth;
	place.fd = fcntl(sealing->snapshot_fd, F_DUPFD_CLOEXEC, 0);
	while (path && *at != '\0') {
		const size_t size = strcspn(++at, "/");
		char *name = strndup(at, size);
		char *longer = NULL;
		int next = -1;

		if (name) {
			plain_name(&place, name, plain);
			next = open_beneath(place.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
			if (asprintf(&longer, "%s%s/", path, plain) < 0)
				longer = NULL;
		}
		if (place.fd >= 0)
			close(place.fd);
		place.fd = next;
		place.depth++;
		free(name);
		free(path);
		path = longer;
		at += size;
	}
	if (path) {
		char *longer = NULL;

		plain_name(parent, backing, plain);
		if (asprintf(&longer, "%s%s", path, plain) < 0)
			longer = NULL;
		free(path);
		path = longer;
	}
	if (place.fd >= 0)
		close(place.fd);
	return path;
}

int sealing_fail(struct sealing *sealing, const struct place *parent, const char *backing,
		 int error, const char *what)
{
	char name[256] = "";

	/* What waits for a key is tried again. */
	if (error == -EAGAIN)
		return error;
	if (*backing && name_decode(parent, backing, name) < 0)
		strcpy(name, "?");
	store_fail(sealing->reterr, error,
		   error == -EBADMSG ? EXIT_FINDINGS : (enum exit_code)exit_code_from_errno(error),
		   "%s: %s (%s%s%s): %s: %s", snapshot_name(sealing->snapshot),
		   *name ? name : "directory", parent->path, *backing ? "/" : "", backing, what,
		   error == -EBADMSG ? "not authentic" : strerror(-error));
	if (error == -EBADMSG)
		store_advise(sealing->reterr, "see 'snapcrypt verify'; the snapshot stays open");
	return error;
}

/* ---- Data keys ----------------------------------------------------------------------------------------------------- */

static int add_dek(struct sealing *sealing, const struct uuid *dek_id, uint32_t *ret_index)
{
	struct uuid *more = reallocarray(sealing->deks, sealing->dek_count + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	sealing->deks = more;
	if (sealing->dek_count == SEAL_DEKS_MAX)
		return -EOVERFLOW;
	more[sealing->dek_count] = *dek_id;
	*ret_index = (uint32_t)sealing->dek_count++;
	return 0;
}

/*
 * A DEK of another snapshot: that one must be sealed, or gone, or a stream, which goes on under a new one.  Otherwise its
 * files could still be changed.
 */
static int check_owner(struct sealing *sealing, const struct uuid *dek_id)
{
	struct uuid owner;

	if (store_dek_is_sealed(sealing->store, dek_id) ||
	    !store_dek_snapshot(sealing->store, dek_id, &owner))
		return 0;
	sealing->open_owner = owner;
	return -EXDEV;
}

static int index_of_dek(struct sealing *sealing, const struct uuid *dek_id, uint32_t *ret_index)
{
	int r;

	for (size_t i = 0; i < sealing->dek_count; i++) {
		if (uuid_equal(&sealing->deks[i], dek_id)) {
			*ret_index = (uint32_t)i;
			return 0;
		}
	}
	r = check_owner(sealing, dek_id);
	return r < 0 ? r : add_dek(sealing, dek_id, ret_index);
}

/* ---- Attributes ---------------------------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int add_attribute(struct sealing *sealing, const struct xattr_target *target,
			 const char *name, struct manifest_object *object)
{
	uint8_t *value = malloc(XATTR_SIZE_MAX);
	uint8_t *data = NULL;
	ssize_t size = value ? xattr_get(target, name, value, XATTR_SIZE_MAX) : -ENOMEM;
	int r = size < 0 ? (int)size : 0;

	if (r == 0) {
		const struct manifest_attribute attribute = {
			.name = bytes_from_text(name),
			.value = { value, (size_t)size },
		};
		const size_t encoded = manifest_attribute_size(&attribute);

		data = malloc(encoded);
		r = data ? 0 : -ENOMEM;
		if (r == 0) {
			manifest_attribute_encode(&attribute, data);
			r = spool_append(&sealing->heap, data, encoded);
			object->attributes_size += encoded;
			object->attribute_count++;
		}
	}
	free(data);
	free(value);
	return r == -ENODATA ? 0 : r;
}

static int add_named(struct sealing *sealing, const struct xattr_target *target, char *names,
		     size_t size, struct manifest_object *object)
{
	const char **sorted = calloc(size / 2 + 1, sizeof(*sorted));
	size_t count = 0;
	int r = sorted ? 0 : -ENOMEM;

	for (size_t at = 0; r == 0 && at < size; at += strlen(names + at) + 1)
		sorted[count++] = names + at;
	if (count > 1)
		qsort(sorted, count, sizeof(*sorted), compare_names);
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_attribute(sealing, target, sorted[i], object);
	free(sorted);
	return r;
}

static int add_attributes(struct sealing *sealing, const struct xattr_target *target,
			  struct manifest_object *object)
{
	char small[1024];
	char *names = small;
	ssize_t size = xattr_list(target, small, sizeof(small));
	int r;

	object->attributes_offset = sealing->heap.size;
	if (size == -ERANGE) {
		names = malloc(XATTR_LIST_MAX);
		size = names ? xattr_list(target, names, XATTR_LIST_MAX) : -ENOMEM;
	}
	/* A filesystem without attributes has none. */
	if (size == -EOPNOTSUPP)
		size = 0;
	r = size <= 0 ? (int)size : add_named(sealing, target, names, (size_t)size, object);
	if (names != small)
		free(names);
	return r;
}

/* ---- Kinds --------------------------------------------------------------------------------------------------------- */

static int add_target(struct sealing *sealing, const struct place *parent, const char *backing,
		      struct manifest_object *object)
{
	char target[MANIFEST_TARGET_MAX + 1];
	struct uuid dek_id;
	int r = object_dek_id(parent, backing, S_IFLNK, &dek_id);

	if (r == 0)
		r = index_of_dek(sealing, &dek_id, &object->dek);
	if (r == 0)
		r = entry_readlink(parent, backing, target, sizeof(target));
	if (r < 0)
		return r;
	object->target_offset = sealing->heap.size;
	object->target_size = (uint32_t)strlen(target);
	object->size = object->target_size;
	return spool_append(&sealing->heap, target, object->target_size);
}

static int open_backing(const struct place *parent, const char *backing)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	int fd = openat(parent->fd, backing, flags | O_NOATIME);

	if (fd < 0 && errno == EPERM)
		fd = openat(parent->fd, backing, flags);
	return fd < 0 ? -errno : fd;
}

static int verify_header(struct sealing *sealing, struct sealing_file *file)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	const struct volume_record *volume = &sealing->store->volume;
	const struct header_expectation expected = {
		.volume = volume->volume,
		.algorithm = volume->algorithm,
		.block_size_log2 = sealing->store->layout.block_size_log2,
	};
	uint8_t data[HEADER_SIZE];
	const ssize_t size = pread(file->fd, data, sizeof(data), 0);
	int r;

	if (size < 0)
		return -errno;
	r = header_decode((struct bytes){ data, (size_t)size }, &expected, &file->header, NULL);
	if (r < 0)
		return -EBADMSG;
	r = store_dek(sealing->store, &file->header.dek, &dek);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	return object_verify_header(dek, data);
}

static int add_content(struct sealing *sealing, struct sealing_file *file,
		       struct manifest_object *object)
{
	const struct layout *layout = &sealing->store->layout;
	bool is_terminated = false;
	struct stat stat;
	int r = verify_header(sealing, file);

	if (r == 0)
		r = index_of_dek(sealing, &file->header.dek, &object->dek);
	if (r < 0)
		return r;
	if (fstat(file->fd, &stat) < 0)
		return -errno;
	file->size = layout_plain_size(layout, (uint64_t)stat.st_size, &is_terminated);
	if (!is_terminated || !S_ISREG(stat.st_mode))
		return -EBADMSG;
	file->block_count = layout_block_count(layout, file->size);
	object->size = file->size;
	object->is_sparse = file->header.is_sparse;
	memcpy(object->object_id, file->header.object_id, sizeof(object->object_id));
	memcpy(object->content_id, file->header.content_id, sizeof(object->content_id));
	object->first_tag = sealing->tags.size / MANIFEST_TAG_SIZE;
	object->tag_count = file->block_count;
	return sealing_tags(sealing, file);
}

static int add_file(struct sealing *sealing, const struct place *parent, const char *backing,
		    struct manifest_object *object)
{
	struct sealing_file file = {
		.parent = parent,
		.backing = backing,
		.fd = open_backing(parent, backing),
	};
	int r;

	if (file.fd < 0)
		return file.fd;
	r = add_content(sealing, &file, object);
	close(file.fd);
	return r;
}

int sealing_object(struct sealing *sealing, const struct place *parent, const char *backing,
		   const struct stat *stat, struct manifest_object *ret_object)
{
	const struct xattr_target target = { parent, backing, stat->st_mode & S_IFMT };
	struct manifest_object object = {
		.mode = stat->st_mode,
		.uid = stat->st_uid,
		.gid = stat->st_gid,
		.dek = MANIFEST_NO_DEK,
		.device_major = major(stat->st_rdev),
		.device_minor = minor(stat->st_rdev),
		.mtime_s = stat->st_mtim.tv_sec,
		.mtime_ns = (uint32_t)stat->st_mtim.tv_nsec,
	};
	int r = 0;

	if (S_ISREG(stat->st_mode))
		r = add_file(sealing, parent, backing, &object);
	else if (S_ISLNK(stat->st_mode))
		r = add_target(sealing, parent, backing, &object);
	if (r == -EXDEV)
		return r;
	if (r < 0)
		return sealing_fail(sealing, parent, backing, r, "content");
	r = add_attributes(sealing, &target, &object);
	if (r < 0)
		return sealing_fail(sealing, parent, backing, r, "attributes");
	*ret_object = object;
	return 0;
}
