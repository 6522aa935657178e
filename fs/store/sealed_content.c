/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content of a sealed snapshot: backing files compared with what the manifest says, each block with its tag as it is read
 * (file_expected.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/file_internal.h"
#include "fs/store/sealed_view.h"

/* What the file is compared with: the first member is what the engine knows of it. */
struct sealed_content {
	struct file_expectation expectation;
	struct sealed_view *view;
	struct manifest_object object;
	struct uuid dek;
};

static const struct sealed_content *content_of(const struct file_expectation *expectation)
{
	return (const struct sealed_content *)expectation;
}

static void content_free(struct file_expectation *expectation)
{
	struct sealed_content *content = (struct sealed_content *)expectation;

	sealed_view_put(content->view);
	free(content);
}

static int check_header(const struct file_expectation *expectation, const struct header *header)
{
	const struct sealed_content *content = content_of(expectation);
	const struct manifest_object *object = &content->object;

	if (!uuid_equal(&header->dek, &content->dek) ||
	    memcmp(header->object_id, object->object_id, sizeof(object->object_id)) != 0 ||
	    memcmp(header->content_id, object->content_id, sizeof(object->content_id)) != 0 ||
	    header->is_sparse != object->is_sparse)
		return -EBADMSG;
	return 0;
}

static int read_tags(const struct file_expectation *expectation, uint64_t first, size_t count,
		     uint8_t *tags)
{
	const struct sealed_content *content = content_of(expectation);
	const struct manifest_tag_range range = { first, count };

	return manifest_read_tags(sealed_view_manifest(content->view), &content->object, &range,
				  tags);
}

int sealed_file_open(struct sealed_view *view, const struct place *parent, const char *backing,
		     const struct manifest_object *object, struct file **ret_file)
{
	struct sealed_content *content = calloc(1, sizeof(*content));
	struct file_open_options options = { .access = FILE_READ };
	int r;

	if (!content)
		return -ENOMEM;
	options.sealed = &content->expectation;
	content->expectation = (struct file_expectation){
		.size = object->size,
		.check_header = check_header,
		.read_tags = read_tags,
		.free = content_free,
	};
	content->view = sealed_view_ref(view);
	content->object = *object;
	r = S_ISREG(object->mode) ? sealed_object_dek(view, object, &content->dek) : -EINVAL;
	/* One tag for each block, or the manifest is not what it says. */
	if (r == 0 &&
	    object->tag_count != layout_block_count(store_layout(parent->store), object->size))
		r = -EBADMSG;
	if (r == 0)
		r = file_open(parent, backing, &options, ret_file);
	if (r < 0)
		content_free(&content->expectation);
	return r == -ESTALE || r == -ELOOP || r == -ENXIO ? -EBADMSG : r;
}

/* ---- Backing directories ------------------------------------------------------------------------------------------- */

/* Append the backing name of the next component to PATH; PLAIN moves on. */
static int add_component(const struct place *place, const char **plain, char path[static PATH_MAX])
{
	const char *end = strchrnul(*plain, '/');
	const size_t used = strlen(path);
	struct backing_name backing;
	char name[MANIFEST_NAME_MAX + 1];
	int r;

	if (end == *plain || (size_t)(end - *plain) >= sizeof(name))
		return -EINVAL;
	memcpy(name, *plain, (size_t)(end - *plain));
	name[end - *plain] = '\0';
	r = name_encode(place, name, &backing);
	if (r < 0)
		return r;
	if (used + strlen(backing.text) + 2 > PATH_MAX)
		return -ENAMETOOLONG;
	if (used > 0)
		strcat(path, "/");
	strcat(path, backing.text);
	*plain = *end ? end + 1 : end;
	return 0;
}

/* As many components as one path can hold; below DIR_FD. */
static int open_some(const struct place *place, int dir_fd, const char **plain)
{
	char path[PATH_MAX] = "";
	int r = 0;

	while (r == 0 && **plain) {
		const char *before = *plain;

		r = add_component(place, plain, path);
		if (r == -ENAMETOOLONG && path[0] != '\0' && *plain == before) {
			r = 0;
			break;
		}
	}
	return r < 0 ? r : open_beneath(dir_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
}

int sealed_directory_open(struct sealed_view *view, int snapshot_fd, const char *path, int *ret_fd)
{
	struct snapshot *snapshot = sealed_view_snapshot(view);
	const struct place place = {
		.store = sealed_view_store(view),
		.snapshot = snapshot,
		.fd = snapshot_fd,
		.path = snapshot_name(snapshot),
	};
	int fd = fcntl(snapshot_fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	while (*path) {
		const int next = open_some(&place, fd, &path);

		close(fd);
		if (next < 0)
			return next == -ENOTDIR || next == -ELOOP || next == -EXDEV ? -EBADMSG
										    : next;
		fd = next;
	}
	*ret_fd = fd;
	return 0;
}
