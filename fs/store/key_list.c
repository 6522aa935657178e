/* SPDX-License-Identifier: Apache-2.0 */
/* Every data key of a volume: meta/FORMAT.md, section 1. */
#include "fs/store/key_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Open a directory below the root without following anything.  -ENOENT. */
static int open_listing(struct store *store, const char *path, DIR **ret_directory)
{
	const int fd = openat(store_root_fd(store), path,
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_directory = fdopendir(fd);
	if (*ret_directory == NULL) {
		const int error = -errno;

		close(fd);
		return error;
	}
	return 0;
}

/* The next entry whose name is a UUID: 1, 0 at the end, or a negative errno. */
static int next_uuid(DIR *directory, struct uuid *ret_uuid)
{
	for (;;) {
		const struct dirent *entry = NULL;

		errno = 0;
		entry = readdir(directory);
		if (entry == NULL)
			return -errno;
		if (uuid_parse(entry->d_name, ret_uuid) == 0)
			return 1;
	}
}

int key_list_each(struct store *store, key_list_visit visit, void *arg)
{
	DIR *directory = NULL;
	struct uuid dek;
	int r = open_listing(store, ".snapcrypt/keys", &directory);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while ((r = next_uuid(directory, &dek)) > 0) {
		struct key_record record = { 0 };
		enum trust_origin origin = TRUST_UNKNOWN_WRITER;
		const int error = store_key_record(store, &dek, &record, &origin);

		r = visit(arg, &dek, error < 0 ? NULL : &record, origin, error);
		if (error == 0)
			key_record_free(&record);
		if (r != 0)
			break;
	}
	closedir(directory);
	return r;
}

int key_list_needed_by(struct store *store, const struct uuid *dek, struct uuid **ret_snapshots,
		       size_t *ret_count)
{
	char text[UUID_TEXT_SIZE];
	char path[sizeof(".snapcrypt/keys//needed-by") + UUID_TEXT_SIZE];
	DIR *directory = NULL;
	struct uuid *snapshots = NULL;
	struct uuid snapshot;
	size_t count = 0;
	int r = 0;

	uuid_format(dek, text);
	snprintf(path, sizeof(path), ".snapcrypt/keys/%s/needed-by", text);
	r = open_listing(store, path, &directory);
	if (r < 0 && r != -ENOENT)
		return r;
	while (directory != NULL && (r = next_uuid(directory, &snapshot)) > 0) {
		struct uuid *more = reallocarray(snapshots, count + 1, sizeof(*snapshots));

		if (more == NULL) {
			r = -ENOMEM;
			break;
		}
		snapshots = more;
		snapshots[count++] = snapshot;
	}
	if (directory != NULL)
		closedir(directory);
	if (r < 0 && r != -ENOENT) {
		free(snapshots);
		return r;
	}
	*ret_snapshots = snapshots;
	*ret_count = count;
	return 0;
}
