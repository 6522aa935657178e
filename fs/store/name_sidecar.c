/* SPDX-License-Identifier: Apache-2.0 */
/* Sidecars of long names: written before their entry, durable, and removed after it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/name_internal.h"
#include "kms/crypto/hash.h"
#include "meta/encoding.h"

#define SIDECAR_VERSION 1

/* Version and SIV; one byte more to notice what is too long. */
struct sidecar {
	uint8_t data[1 + NAME_SIV_MAX + 1];
	size_t size;
};

static void sidecar_path(const char *backing, char path[static NAME_SIDECAR_SIZE])
{
	snprintf(path, NAME_SIDECAR_SIZE, "%.*s%s", NAME_LONG_SIZE, backing, NAME_SIDECAR_SUFFIX);
}

bool name_is_sidecar(const char *backing, char *entry)
{
	if (backing[0] != NAME_LONG_MARK || strlen(backing) != NAME_SIDECAR_SIZE - 1 ||
	    strcmp(backing + NAME_LONG_SIZE, NAME_SIDECAR_SUFFIX) != 0)
		return false;
	if (entry) {
		memcpy(entry, backing, NAME_LONG_SIZE);
		entry[NAME_LONG_SIZE] = '\0';
	}
	return true;
}

static int load(const struct place *place, const char *path, struct sidecar *ret_sidecar)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	const int fd = openat(place->fd, path, flags);

	if (fd < 0)
		return -errno;

	const ssize_t size = pread(fd, ret_sidecar->data, sizeof(ret_sidecar->data), 0);
	const int r = size < 0 ? -errno : 0;

	close(fd);
	ret_sidecar->size = size < 0 ? 0 : (size_t)size;
	return r;
}

int name_read_sidecar(const struct place *place, const char *backing,
		      uint8_t siv[static NAME_SIV_MAX], size_t *ret_size)
{
	char path[NAME_SIDECAR_SIZE];
	uint8_t stated[SHA256_SIZE], digest[SHA256_SIZE];
	struct sidecar sidecar = { .size = 0 };
	int r;

	if (strlen(backing) != NAME_LONG_SIZE ||
	    base64url_decode_exact(backing + 1, stated, sizeof(stated)) < 0)
		return -EBADMSG;
	sidecar_path(backing, path);
	r = load(place, path, &sidecar);
	if (r < 0)
		return r == -ENOENT || r == -ELOOP ? -EBADMSG : r;
	if (sidecar.size <= 1 + SIV_OVERHEAD || sidecar.size > 1 + NAME_SIV_MAX ||
	    sidecar.data[0] != SIDECAR_VERSION)
		return -EBADMSG;

	const struct bytes content = { sidecar.data + 1, sidecar.size - 1 };

	/* A name that fits has one form only, or it could be there twice. */
	if (BASE64URL_TEXT_SIZE(content.size) <= BACKING_NAME_SIZE)
		return -EBADMSG;
	r = sha256(content, digest);
	if (r < 0)
		return r;
	if (memcmp(digest, stated, sizeof(digest)) != 0)
		return -EBADMSG;
	memcpy(siv, content.data, content.size);
	*ret_size = content.size;
	return 0;
}

static void fill(struct sidecar *sidecar, const struct backing_name *backing)
{
	sidecar->data[0] = SIDECAR_VERSION;
	memcpy(sidecar->data + 1, backing->siv, backing->siv_size);
	sidecar->size = 1 + backing->siv_size;
}

static int write_durably(int fd, const struct sidecar *sidecar)
{
	const ssize_t written = pwrite(fd, sidecar->data, sidecar->size, 0);

	if (written < 0)
		return -errno;
	if ((size_t)written != sidecar->size)
		return -ENOSPC;
	if (fchmod(fd, S_IRUSR | S_IWUSR) < 0 || ftruncate(fd, written) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int name_prepare(const struct place *place, const struct backing_name *backing)
{
	char path[NAME_SIDECAR_SIZE];
	struct sidecar wanted, found = { .size = 0 };
	int fd, r;

	if (!backing->is_long)
		return 0;
	sidecar_path(backing->text, path);
	fill(&wanted, backing);
	r = load(place, path, &found);
	if (r == 0 && bytes_equal((struct bytes){ wanted.data, wanted.size },
				  (struct bytes){ found.data, found.size }))
		return 0;
	/* A torn one has no entry yet: it may be written over. */
	fd = openat(place->fd, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		    S_IRUSR | S_IWUSR);
	if (fd < 0)
		return -errno;
	r = write_durably(fd, &wanted);
	close(fd);
	return r < 0 ? r : directory_sync(place->fd, ".");
}

void name_forget(const struct place *place, const struct backing_name *backing)
{
	char path[NAME_SIDECAR_SIZE];
	struct stat st;

	if (!backing->is_long)
		return;
	/* A creation that failed because the name is taken leaves its owner the sidecar. */
	if (fstatat(place->fd, backing->text, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
		return;
	sidecar_path(backing->text, path);
	/* One that stays is ignored, and goes with its directory. */
	if (unlinkat(place->fd, path, 0) < 0)
		return;
}
