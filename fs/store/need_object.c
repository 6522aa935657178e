/* SPDX-License-Identifier: Apache-2.0 */
/* Which data keys one object is under: its header, its target, its attributes (meta/FORMAT.md, sections 4, 7 and 8). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/need_internal.h"
#include "fs/store/place.h"
#include "fs/store/xattr_stored.h"
#include "meta/bytes.h"
#include "meta/encoding.h"
#include "meta/format/header.h"
#include "meta/format/sealed_value.h"

#define MAGIC_AND_VERSION "SNPCRYPT\001" /* and the version's high byte, which is the NUL */
#define SIDECAR_SIZE      (44 + sizeof(".name") - 1)

static int note(struct need_reader *reader, const struct uuid *dek)
{
	const struct need_pair_key key = { *dek, reader->place };

	/* Nearly always it is the one of the object before. */
	if (reader->has_last && memcmp(&reader->last, &key, sizeof(key)) == 0)
		return 0;
	reader->last = key;
	reader->has_last = true;
	return need_note(reader->scan, reader->place, dek);
}

/* What is gone meanwhile needs nothing; what cannot be read may need anything. */
static int cannot_read(struct need_reader *reader, int error)
{
	if (error == -ENOENT || error == -ENODATA)
		return 0;
	if (error == -ENOMEM || error == -EMFILE || error == -ENFILE)
		return error;
	reader->unreadable++;
	return 0;
}

static void is_damaged(struct need_reader *reader)
{
	const struct need_place *place = &reader->scan->places[reader->place];

	/* Elsewhere plain files are no surprise. */
	if (place->has_identity && place->is_encrypted)
		reader->damaged++;
}

/* ---- Attributes -------------------------------------------------------------------------------------------------- */

static bool is_sealed_attribute(const char *name)
{
	static const char *const prefixes[] = { "user.snapcrypt.x.", "trusted.snapcrypt.x." };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static int read_attribute(struct need_reader *reader, const struct xattr_target *target,
			  const char *name)
{
	const ssize_t size = xattr_get_below(target, name, reader->value, XATTR_STORED_MAX);
	struct bytes ignored;
	struct uuid dek;

	if (size < 0)
		return cannot_read(reader, (int)size);
	if (sealed_value_decode((struct bytes){ reader->value, (size_t)size }, &dek, &ignored,
				NULL) < 0) {
		is_damaged(reader);
		return 0;
	}
	return note(reader, &dek);
}

static int read_attributes(struct need_reader *reader, int fd, const char *name)
{
	struct place parent = { .fd = fd };
	const struct xattr_target target = { .parent = &parent, .backing = name };
	const ssize_t size = xattr_list_below(&target, reader->names, XATTR_STORED_MAX);
	int r = 0;

	if (size == -ENOTSUP)
		return 0;
	if (size < 0)
		return cannot_read(reader, (int)size);
	for (const char *next = reader->names; r == 0 && next < reader->names + size;
	     next += strlen(next) + 1)
		if (is_sealed_attribute(next))
			r = read_attribute(reader, &target, next);
	return r;
}

int need_read_directory(struct need_reader *reader, int fd)
{
	return read_attributes(reader, fd, "");
}

/* ---- Objects ----------------------------------------------------------------------------------------------------- */

static bool is_sidecar(const char *name)
{
	return name[0] == '=' && strlen(name) == SIDECAR_SIZE && strcmp(name + 44, ".name") == 0;
}

static int open_file(int parent_fd, const char *name)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
	const int fd = open_beneath(parent_fd, name, flags | O_NOATIME, 0);

	/* Only for the owner, and for root. */
	return fd == -EPERM ? open_beneath(parent_fd, name, flags, 0) : fd;
}

static int read_header(struct need_reader *reader, int fd)
{
	uint8_t data[HEADER_SIZE];
	const ssize_t size = pread(fd, data, sizeof(data), 0);
	struct uuid dek;

	if (size < 0)
		return cannot_read(reader, -errno);
	/* Not more than a beginning: there is nothing in it. */
	if (size < (ssize_t)sizeof(data))
		return 0;
	if (memcmp(data, MAGIC_AND_VERSION, sizeof(MAGIC_AND_VERSION)) != 0) {
		is_damaged(reader);
		return 0;
	}
	memcpy(dek.bytes, data + HEADER_DEK_OFFSET, UUID_SIZE);
	return note(reader, &dek);
}

static int read_file(struct need_reader *reader, int parent_fd, const char *name)
{
	int fd;
	int r;

	if (is_sidecar(name))
		return 0;
	fd = open_file(parent_fd, name);
	if (fd < 0)
		return cannot_read(reader, fd);
	r = read_header(reader, fd);
	close(fd);
	return r < 0 ? r : read_attributes(reader, parent_fd, name);
}

static int read_symlink(struct need_reader *reader, int parent_fd, const char *name)
{
	char text[SYMLINK_STORED_MAX + 1];
	uint8_t value[SYMLINK_STORED_MAX];
	const ssize_t size = readlinkat(parent_fd, name, text, sizeof(text));
	struct bytes ignored;
	struct uuid dek;
	ssize_t decoded;
	int r;

	if (size < 0)
		return cannot_read(reader, -errno);
	decoded = base64url_decode((struct bytes){ (const uint8_t *)text, (size_t)size }, value,
				   sizeof(value));
	if (decoded < 0 || sealed_value_decode((struct bytes){ value, (size_t)decoded }, &dek,
					       &ignored, NULL) < 0) {
		is_damaged(reader);
		return 0;
	}
	r = note(reader, &dek);
	return r < 0 ? r : read_attributes(reader, parent_fd, name);
}

int need_read_object(struct need_reader *reader, int parent_fd, const char *name, mode_t type)
{
	if (S_ISREG(type))
		return read_file(reader, parent_fd, name);
	if (S_ISLNK(type))
		return read_symlink(reader, parent_fd, name);
	return read_attributes(reader, parent_fd, name);
}
