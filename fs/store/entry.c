/* SPDX-License-Identifier: Apache-2.0 */
/* Names of directories, symlinks and special files: what they are, and making them. */
#include "fs/store/entry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/entry_internal.h"
#include "fs/store/file.h"
#include "fs/store/journal.h"
#include "fs/store/object.h"
#include "kms/crypto/aead.h"
#include "meta/encoding.h"

bool entry_is_snapshot_level(const struct place *place)
{
	return place->depth + 1 == store_volume(place->store)->snapshot_depth;
}

int entry_path(const struct place *place, const char *name, char path[static PATH_MAX])
{
	const int size = snprintf(path, PATH_MAX, "%s%s%s", place->path, *place->path ? "/" : "",
				  name);

	return size < 0 || size >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* ---- What is there --------------------------------------------------------------------------- */

void entry_plain_size(const struct place *place, struct stat *stat)
{
	if (!snapshot_is_encrypted(place->snapshot))
		return;
	if (S_ISREG(stat->st_mode))
		stat->st_size = (off_t)layout_plain_size(store_layout(place->store),
							 (uint64_t)stat->st_size, NULL);
	else if (S_ISLNK(stat->st_mode))
		stat->st_size = (off_t)symlink_plain_size((size_t)stat->st_size);
}

/* On a read-only store, what a dead mount left may say that a file is longer or shorter. */
static void entry_recovered_size(const struct place *place, const char *backing, struct stat *stat)
{
	const struct file_open_options options = { .access = FILE_READ };
	const struct recovery *recovery = store_recovery(place->store);
	uint8_t data[HEADER_SIZE];
	struct header header;
	struct file *file;

	if (!recovery || store_is_writable(place->store) || recovery_is_idle(recovery))
		return;
	if (!S_ISREG(stat->st_mode) || !snapshot_is_encrypted(place->snapshot))
		return;
	if (object_read_header(place, backing, &header, data) < 0 ||
	    !recovery_is_needed(recovery, &header.dek))
		return;
	if (file_open(place, backing, &options, &file) < 0)
		return;
	stat->st_size = (off_t)file_size(file);
	(void)file_close(file, NULL);
}

void entry_size(const struct place *place, const char *backing, struct stat *stat)
{
	entry_plain_size(place, stat);
	entry_recovered_size(place, backing, stat);
}

int entry_stat(const struct place *place, const char *backing, struct stat *ret_stat)
{
	const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH;

	if (fstatat(place->fd, backing, ret_stat, flags) < 0)
		return -errno;
	entry_size(place, backing, ret_stat);
	return 0;
}

int entry_lookup(const struct place *parent, const char *name, struct backing_name *ret_backing,
		 struct stat *ret_stat)
{
	int r;

	if (name_is_reserved(name))
		return -ENOENT;
	r = name_encode(parent, name, ret_backing);
	return r < 0 ? r : entry_stat(parent, ret_backing->text, ret_stat);
}

/* ---- Making it ------------------------------------------------------------------------------- */

/* What is made by one system call: 0, or -1 and errno. */
struct creation {
	int (*make)(int dir_fd, const char *backing, const struct creation *creation);
	mode_t mode;
	dev_t device;
	const char *target;
};

static int create(const struct place *parent, const char *name, const struct creation *creation)
{
	struct backing_name backing;
	int r = name_encode(parent, name, &backing);

	if (r == 0)
		r = name_prepare(parent, &backing);
	if (r < 0)
		return r;
	if (creation->make(parent->fd, backing.text, creation) < 0) {
		r = -errno;
		name_forget(parent, &backing);
	}
	return r;
}

static int make_directory(int dir_fd, const char *backing, const struct creation *creation)
{
	return mkdirat(dir_fd, backing, creation->mode);
}

static int make_special(int dir_fd, const char *backing, const struct creation *creation)
{
	return mknodat(dir_fd, backing, creation->mode, creation->device);
}

static int make_symlink(int dir_fd, const char *backing, const struct creation *creation)
{
	return symlinkat(creation->target, dir_fd, backing);
}

int entry_mkdir(const struct place *parent, const char *name, mode_t mode)
{
	const struct creation creation = { .make = make_directory, .mode = mode };
	char path[PATH_MAX];
	int r = snapshot_may_write(parent->snapshot);

	if (r < 0)
		return r;
	if (!entry_is_snapshot_level(parent))
		return create(parent, name, &creation);

	struct backing_name backing;

	r = name_encode(parent, name, &backing);
	if (r == 0)
		r = entry_path(parent, backing.text, path);
	return r < 0 ? r : snapshot_create(parent->store, parent->fd, backing.text, path, mode);
}

int entry_mknod(const struct place *parent, const char *name, mode_t mode, dev_t device)
{
	const struct creation creation = { .make = make_special, .mode = mode, .device = device };
	int r;

	if (!S_ISFIFO(mode) && !S_ISSOCK(mode) && !S_ISCHR(mode) && !S_ISBLK(mode))
		return -EINVAL;
	r = snapshot_may_write(parent->snapshot);
	return r < 0 ? r : create(parent, name, &creation);
}

static int seal_target(const struct place *parent, struct bytes plain,
		       char text[static SYMLINK_STORED_MAX + 1])
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	uint8_t value[SYMLINK_TARGET_MAX + SEALED_VALUE_OVERHEAD];
	uint8_t aad[SEALED_VALUE_AAD_MAX];
	const struct sealed_value_place place = {
		.volume = &store_volume(parent->store)->volume,
		.kind = SEALED_VALUE_SYMLINK,
	};
	int r = snapshot_write_dek(parent->snapshot, &dek);

	if (r == 0)
		r = dek_meta_key(dek, &key);
	if (r < 0)
		return r;

	const size_t aad_size = sealed_value_aad(&place, aad);

	sealed_value_encode_head(dek_id(dek), value);
	r = aead_seal(key, (struct bytes){ aad, aad_size }, plain, value + SEALED_VALUE_HEAD_SIZE);
	if (r < 0)
		return r;
	base64url_encode((struct bytes){ value, plain.size + SEALED_VALUE_OVERHEAD }, text);
	return 0;
}

int entry_symlink(const struct place *parent, const char *name, const char *target)
{
	const struct bytes plain = bytes_from_text(target);
	char text[SYMLINK_STORED_MAX + 1];
	struct creation creation = { .make = make_symlink, .target = target };
	int r = snapshot_may_write(parent->snapshot);

	if (r < 0)
		return r;
	if (plain.size == 0)
		return -ENOENT;
	if (snapshot_is_encrypted(parent->snapshot)) {
		if (plain.size > SYMLINK_TARGET_MAX)
			return -ENAMETOOLONG;
		r = seal_target(parent, plain, text);
		if (r < 0)
			return r;
		creation.target = text;
	}
	return create(parent, name, &creation);
}

/* ---- Symlinks -------------------------------------------------------------------------------- */

static int read_plain_link(const struct place *parent, const char *backing, char *target,
			   size_t size)
{
	const ssize_t length = readlinkat(parent->fd, backing, target, size);

	if (length < 0)
		return -errno;
	if ((size_t)length >= size)
		return -ENAMETOOLONG;
	target[length] = '\0';
	return 0;
}

static int open_target(const struct place *parent, const struct stored_target *stored, char *target,
		       size_t size)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	CLEANUP(aead_key_cleanup) struct aead_key *key = NULL;
	uint8_t aad[SEALED_VALUE_AAD_MAX];
	const struct sealed_value_place place = {
		.volume = &store_volume(parent->store)->volume,
		.kind = SEALED_VALUE_SYMLINK,
	};
	const size_t length = stored->sealed.size - AEAD_OVERHEAD;
	int r;

	if (length >= size)
		return -ENAMETOOLONG;
	r = store_dek(parent->store, &stored->dek, &dek);
	if (r == 0)
		r = dek_meta_key(dek, &key);
	if (r < 0)
		return r;

	const size_t aad_size = sealed_value_aad(&place, aad);

	r = aead_open(key, (struct bytes){ aad, aad_size }, stored->sealed, (uint8_t *)target);
	if (r < 0)
		return r;
	target[length] = '\0';
	return length == 0 || strlen(target) != length ? -EBADMSG : 0;
}

int entry_readlink(const struct place *parent, const char *backing, char *target, size_t size)
{
	struct stored_target stored;
	int r;

	if (!snapshot_is_encrypted(parent->snapshot))
		return read_plain_link(parent, backing, target, size);
	r = object_read_target(parent, backing, &stored);
	return r < 0 ? r : open_target(parent, &stored, target, size);
}

/* ---- Durability ------------------------------------------------------------------------------ */

int entry_sync_directory(const struct place *directory)
{
	return directory_sync(directory->fd, ".");
}
