/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be checked without a key: headers as far as they are not authenticated, sizes, the shape of names, targets and
 * attributes.  Paths are those below, as no name can be read.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/name_internal.h"
#include "fs/store/object.h"
#include "fs/store/verify_internal.h"
#include "meta/encoding.h"

#define DEPTH_MAX 4096

struct structure {
	struct verifying *verifying;
	bool has_encrypted_names;
	unsigned depth;
};

/* Is it what name_encode() makes of some name? */
static bool has_shape_of_name(const struct place *place, const char *backing)
{
	uint8_t siv[NAME_SIV_MAX];
	size_t size = 0;

	if (backing[0] == NAME_LONG_MARK)
		return name_read_sidecar(place, backing, siv, &size) == 0;
	return base64url_decode(bytes_from_text(backing), siv, sizeof(siv)) > SIV_OVERHEAD;
}

static void check_file(const struct structure *structure, const struct place *place,
		       const char *backing, const struct stat *stat, const char *path)
{
	struct verifying *verifying = structure->verifying;
	const struct layout *layout = store_layout(place->store);
	uint8_t data[HEADER_SIZE];
	struct header header;
	bool is_terminated = false;
	const int r = object_read_header(place, backing, &header, data);

	atomic_fetch_add(&verifying->counts->files, 1);
	if (r == -ENOENT)
		return;
	if (r < 0)
		verify_report(verifying, FINDING_TAMPERED, path, FINDING_NO_BLOCK,
			      "its header is not one of this volume");
	(void)layout_plain_size(layout, (uint64_t)stat->st_size, &is_terminated);
	if (r == 0 && !is_terminated)
		verify_report(verifying, FINDING_UNTERMINATED, path, FINDING_NO_BLOCK,
			      "its last block is missing");
}

static void check_symlink(const struct structure *structure, const struct place *place,
			  const char *backing, const char *path)
{
	struct stored_target target;

	if (object_read_target(place, backing, &target) == -EBADMSG)
		verify_report(structure->verifying, FINDING_TAMPERED, path, FINDING_NO_BLOCK,
			      "its target is not a sealed one");
}

static int check_directory(struct structure *structure, const struct place *place);

static int enter_directory(struct structure *structure, const struct place *place,
			   const char *backing, const char *path)
{
	struct place below = *place;
	int r;

	if (structure->depth == DEPTH_MAX)
		return -ELOOP;
	below.fd = open_beneath(place->fd, backing, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (below.fd == -ENOENT)
		return 0;
	if (below.fd < 0) {
		verify_report(structure->verifying, FINDING_TAMPERED, path, FINDING_NO_BLOCK,
			      "cannot be looked at: %s", strerror(-below.fd));
		return 0;
	}
	below.depth++;
	below.path = path;
	structure->depth++;
	r = check_directory(structure, &below);
	structure->depth--;
	close(below.fd);
	return r;
}

static int check_entry(struct structure *structure, const struct place *place, const char *backing)
{
	const struct verify_observer *observer = structure->verifying->options->observer;
	const bool is_encrypted = snapshot_is_encrypted(place->snapshot);
	char path[PATH_MAX];
	struct stat stat;

	if (structure->has_encrypted_names && name_is_sidecar(backing, NULL))
		return 0;
	if (fstatat(place->fd, backing, &stat, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(stat.st_mode) && place->depth + 1 == store_volume(place->store)->snapshot_depth)
		return 0;
	snprintf(path, sizeof(path), "%s%s%s", place->path, place->path[0] == '\0' ? "" : "/",
		 backing);
	observer->current(observer->arg, path);
	if (structure->has_encrypted_names && !has_shape_of_name(place, backing))
		verify_report(structure->verifying, FINDING_TAMPERED, path, FINDING_NO_BLOCK,
			      "its name is not an encrypted one");
	if (is_encrypted && S_ISREG(stat.st_mode))
		check_file(structure, place, backing, &stat, path);
	if (is_encrypted && S_ISLNK(stat.st_mode))
		check_symlink(structure, place, backing, path);
	observer->done(observer->arg, S_ISREG(stat.st_mode), 0, false);
	return S_ISDIR(stat.st_mode) ? enter_directory(structure, place, backing, path) : 0;
}

static bool is_shown(const char *name)
{
	return !name_is_reserved(name);
}

static int check_directory(struct structure *structure, const struct place *place)
{
	char **names = NULL;
	size_t count = 0;
	int r = directory_names(place->fd, ".", is_shown, &names, &count);

	for (size_t i = 0; r == 0 && i < count; i++)
		r = check_entry(structure, place, names[i]);
	names_free(names, count);
	return r;
}

int verify_structure(struct verifying *verifying, int fd)
{
	struct snapshot *snapshot = verifying->snapshot;
	struct store *store = verifying->options->store;
	const bool is_root = snapshot_kind(snapshot) == SNAPSHOT_ROOT;
	struct structure structure = {
		.verifying = verifying,
		.has_encrypted_names = snapshot_has_encrypted_names(snapshot),
	};
	const struct place place = {
		.store = store,
		.snapshot = snapshot,
		.fd = fd,
		.depth = is_root ? 0 : store_volume(store)->snapshot_depth,
		.path = "",
	};

	return check_directory(&structure, &place);
}
