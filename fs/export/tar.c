/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tar archive.
 *
 * What does not fit the fields of a ustar header goes into an extended header ("x") before it: exact times always; long names
 * and those with bytes beyond ASCII; large numbers; attributes and ACLs under the keywords that GNU tar, star and bsdtar share.
 * Owners are numbers only: what they are called is another host's business.
 */
#include "fs/export/tar.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fs/export/acl_text.h"

#define BLOCK       512
#define RECORD      10240
#define BUFFER_SIZE ((size_t)256 * 1024)
#define RECORDS_MAX \
	((size_t)64 << 20) /* an extended header; Linux has no object with more attributes */

struct tar {
	int fd;
	uint64_t written; /* to the archive, buffered or not */
	uint64_t left;    /* of the member's data */
	bool is_over;     /* too much came */
	uint8_t *buffer;
	size_t used;
	char *records; /* of the extended header that is being made */
	size_t records_used;
	size_t records_size;
};

/* As POSIX has it. */
struct ustar {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char target[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char major[8];
	char minor[8];
	char prefix[155];
	char padding[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK, "a header is one block");

/* ---- Output ---------------------------------------------------------------------------------- */

int tar_open(int fd, struct tar **ret_tar)
{
	struct tar *tar = calloc(1, sizeof(*tar));

	if (tar != NULL)
		tar->buffer = malloc(BUFFER_SIZE);
	if (tar == NULL || tar->buffer == NULL) {
		tar_free(tar);
		return -ENOMEM;
	}
	tar->fd = fd;
	*ret_tar = tar;
	return 0;
}

void tar_free(struct tar *tar)
{
	if (tar == NULL)
		return;
	free(tar->buffer);
	free(tar->records);
	free(tar);
}

uint64_t tar_written(const struct tar *tar)
{
	return tar->written;
}

static int flush(struct tar *tar)
{
	size_t done = 0;

	while (done < tar->used) {
		const ssize_t n = write(tar->fd, tar->buffer + done, tar->used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	tar->used = 0;
	return 0;
}

static int put(struct tar *tar, const void *data, size_t size)
{
	const uint8_t *from = data;

	while (size > 0) {
		const size_t room = BUFFER_SIZE - tar->used;
		const size_t part = size < room ? size : room;
		int r = 0;

		memcpy(tar->buffer + tar->used, from, part);
		tar->used += part;
		tar->written += part;
		from += part;
		size -= part;
		if (tar->used == BUFFER_SIZE)
			r = flush(tar);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Zeros up to a multiple of UNIT, which is at most a record. */
static int pad(struct tar *tar, size_t unit)
{
	static const uint8_t zeros[RECORD];
	const size_t over = (size_t)(tar->written % unit);

	return over == 0 ? 0 : put(tar, zeros, unit - over);
}

/* ---- Extended header ------------------------------------------------------------------------- */

static int make_room(struct tar *tar, size_t size)
{
	size_t larger = tar->records_size == 0 ? 4096 : tar->records_size;
	char *grown = NULL;

	if (size > RECORDS_MAX - tar->records_used)
		return -E2BIG;
	while (larger - tar->records_used < size)
		larger *= 2;
	if (larger == tar->records_size)
		return 0;
	grown = realloc(tar->records, larger);
	if (grown == NULL)
		return -ENOMEM;
	tar->records = grown;
	tar->records_size = larger;
	return 0;
}

/* "LENGTH KEY=VALUE\n", where the length counts itself. */
static int add_record(struct tar *tar, const char *key, const void *value, size_t size)
{
	const size_t rest = strlen(key) + size + 3;
	size_t digits = 1;
	size_t power = 10;
	int r = 0;

	while (rest + digits >= power) {
		power *= 10;
		digits++;
	}
	r = make_room(tar, rest + digits + 1);
	if (r < 0)
		return r;
	tar->records_used += (size_t)sprintf(tar->records + tar->records_used,
					     "%zu %s=", rest + digits, key);
	memcpy(tar->records + tar->records_used, value, size);
	tar->records_used += size;
	tar->records[tar->records_used++] = '\n';
	return 0;
}

static int add_text(struct tar *tar, const char *key, const char *text)
{
	return add_record(tar, key, text, strlen(text));
}

static int add_number(struct tar *tar, const char *key, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, number);
	return add_text(tar, key, text);
}

/* Before 1970 the fraction counts away from zero, as the sign is that of all of it. */
static int add_time(struct tar *tar, const char *key, const struct timespec *time)
{
	const bool is_turned = time->tv_sec < 0 && time->tv_nsec > 0;
	const long fraction = is_turned ? 1000000000L - time->tv_nsec : time->tv_nsec;
	const int64_t seconds = time->tv_sec + (is_turned ? 1 : 0);
	char text[40];

	snprintf(text, sizeof(text), "%s%" PRId64 ".%09ld", time->tv_sec < 0 ? "-" : "",
		 seconds < 0 ? -seconds : seconds, fraction);
	return add_text(tar, key, text);
}

static bool is_acl(const char *name)
{
	return strcmp(name, "system.posix_acl_access") == 0 ||
	       strcmp(name, "system.posix_acl_default") == 0;
}

static int add_acl(struct tar *tar, const char *name, const uint8_t *value, size_t size)
{
	const bool is_default = strcmp(name, "system.posix_acl_default") == 0;
	char *text = NULL;
	int r = acl_text(value, size, &text);

	if (r == 0)
		r = add_text(tar, is_default ? "SCHILY.acl.default" : "SCHILY.acl.access", text);
	free(text);
	return r;
}

/* A keyword ends at '=', so that and '%' are written as GNU tar reads them. */
static int add_attribute(struct tar *tar, const char *name, const uint8_t *value, size_t size)
{
	char key[sizeof("SCHILY.xattr.") + 3 * 256] = "SCHILY.xattr.";
	char *to = key + strlen(key);

	if (strlen(name) > 255)
		return -ENAMETOOLONG;
	for (; *name != '\0'; name++) {
		if (*name == '%' || *name == '=')
			to += sprintf(to, "%%%02X", (unsigned)*name);
		else
			*to++ = *name;
	}
	*to = '\0';
	return add_record(tar, key, value, size);
}

static int add_attributes(struct tar *tar, const struct attributes *attributes)
{
	const uint8_t *value = attributes->values;
	const char *name = attributes->names;
	int r = 0;

	for (size_t i = 0; r == 0 && i < attributes->count; i++) {
		const size_t size = attributes->sizes[i];

		r = is_acl(name) ? add_acl(tar, name, value, size)
				 : add_attribute(tar, name, value, size);
		value += size;
		name += strlen(name) + 1;
	}
	return r;
}

/* ---- Headers --------------------------------------------------------------------------------- */

static bool fits_octal(uint64_t number, size_t field_size)
{
	return number < (uint64_t)1 << (3 * (field_size - 1));
}

/* Octal, zeros before, a NUL behind; 0 where an extended header has it. */
static void put_octal(char *field, size_t size, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%0*" PRIo64, (int)size - 1,
		 fits_octal(number, size) ? number : 0);
	memcpy(field, text, size);
}

static bool is_simple(const char *text, size_t size)
{
	if (strlen(text) > size)
		return false;
	for (; *text != '\0'; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

static void put_name(char *field, size_t size, const char *name)
{
	const size_t length = strlen(name);

	memcpy(field, name, length < size ? length : size);
}

static int put_header(struct tar *tar, struct ustar *header)
{
	const uint8_t *byte = (const uint8_t *)header;
	unsigned sum = 0;

	memcpy(header->magic, "ustar", 6);
	memcpy(header->version, "00", 2);
	memset(header->checksum, ' ', sizeof(header->checksum));
	for (size_t i = 0; i < sizeof(*header); i++)
		sum += byte[i];
	snprintf(header->checksum, sizeof(header->checksum), "%06o", sum);
	return put(tar, header, sizeof(*header));
}

static int put_extended(struct tar *tar)
{
	struct ustar header = { .name = "./PaxHeaders/member", .type = 'x' };
	int r = 0;

	if (tar->records_used == 0)
		return 0;
	put_octal(header.mode, sizeof(header.mode), 0600);
	put_octal(header.uid, sizeof(header.uid), 0);
	put_octal(header.gid, sizeof(header.gid), 0);
	put_octal(header.size, sizeof(header.size), tar->records_used);
	put_octal(header.mtime, sizeof(header.mtime), 0);
	r = put_header(tar, &header);
	if (r == 0)
		r = put(tar, tar->records, tar->records_used);
	return r < 0 ? r : pad(tar, BLOCK);
}

static char type_of(const struct tar_member *member)
{
	if (member->is_link)
		return '1';
	switch (member->attributes->stat.st_mode & S_IFMT) {
	case S_IFREG:
		return '0';
	case S_IFLNK:
		return '2';
	case S_IFCHR:
		return '3';
	case S_IFBLK:
		return '4';
	case S_IFDIR:
		return '5';
	case S_IFIFO:
		return '6';
	default:
		return '\0';
	}
}

static uint64_t stored_size(const struct tar_member *member, char type)
{
	if (type != '0')
		return 0;
	return member->sparse != NULL ? member->sparse->map_size + member->sparse->data_size
				      : (uint64_t)member->attributes->stat.st_size;
}

/* Holes: "GNU.sparse" version 1.0, whose map stands before the data. */
static int add_sparse(struct tar *tar, const struct tar_member *member)
{
	int r = add_text(tar, "GNU.sparse.major", "1");

	if (r == 0)
		r = add_text(tar, "GNU.sparse.minor", "0");
	if (r == 0)
		r = add_text(tar, "GNU.sparse.name", member->path);
	if (r == 0)
		r = add_number(tar, "GNU.sparse.realsize",
			       (uint64_t)member->attributes->stat.st_size);
	return r;
}

static int add_name(struct tar *tar, const struct tar_member *member, char type)
{
	char *path = NULL;
	int r = 0;

	if (member->sparse != NULL)
		return add_sparse(tar, member);
	if (asprintf(&path, "%s%s", member->path, type == '5' ? "/" : "") < 0)
		return -ENOMEM;
	if (!is_simple(path, sizeof(((struct ustar *)NULL)->name)))
		r = add_text(tar, "path", path);
	free(path);
	return r;
}

static int add_records(struct tar *tar, const struct tar_member *member, char type, uint64_t size)
{
	const struct stat *stat = &member->attributes->stat;
	const struct ustar *fields = NULL;
	int r = add_name(tar, member, type);

	if (r == 0 && member->target != NULL && !is_simple(member->target, sizeof(fields->target)))
		r = add_text(tar, "linkpath", member->target);
	if (r < 0 || member->is_link)
		return r;
	if (!fits_octal(size, sizeof(fields->size)))
		r = add_number(tar, "size", size);
	if (r == 0 && !fits_octal(stat->st_uid, sizeof(fields->uid)))
		r = add_number(tar, "uid", stat->st_uid);
	if (r == 0 && !fits_octal(stat->st_gid, sizeof(fields->gid)))
		r = add_number(tar, "gid", stat->st_gid);
	if (r == 0)
		r = add_time(tar, "mtime", &stat->st_mtim);
	if (r == 0)
		r = add_time(tar, "atime", &stat->st_atim);
	return r == 0 ? add_attributes(tar, member->attributes) : r;
}

static void fill_header(const struct tar_member *member, char type, uint64_t size,
			struct ustar *header)
{
	const struct stat *stat = &member->attributes->stat;
	const int64_t mtime = stat->st_mtim.tv_sec;

	put_name(header->name, sizeof(header->name),
		 member->sparse != NULL ? "./GNUSparseFile/member" : member->path);
	if (type == '5' && strlen(member->path) < sizeof(header->name))
		header->name[strlen(member->path)] = '/';
	if (member->target != NULL)
		put_name(header->target, sizeof(header->target), member->target);
	header->type = type;
	put_octal(header->mode, sizeof(header->mode), stat->st_mode & 07777);
	put_octal(header->uid, sizeof(header->uid), stat->st_uid);
	put_octal(header->gid, sizeof(header->gid), stat->st_gid);
	put_octal(header->size, sizeof(header->size), size);
	put_octal(header->mtime, sizeof(header->mtime), mtime < 0 ? 0 : (uint64_t)mtime);
	put_octal(header->major, sizeof(header->major),
		  type == '3' || type == '4' ? major(stat->st_rdev) : 0);
	put_octal(header->minor, sizeof(header->minor),
		  type == '3' || type == '4' ? minor(stat->st_rdev) : 0);
}

int tar_member(struct tar *tar, const struct tar_member *member)
{
	const char type = type_of(member);
	const uint64_t size = stored_size(member, type);
	struct ustar header = { .name = "" };
	int r = 0;

	if (type == '\0')
		return -EOPNOTSUPP;
	tar->records_used = 0;
	r = add_records(tar, member, type, size);
	if (r == 0)
		r = put_extended(tar);
	if (r < 0)
		return r;
	fill_header(member, type, size, &header);
	tar->left = size;
	tar->is_over = false;
	return put_header(tar, &header);
}

int tar_data(struct tar *tar, const void *data, size_t size)
{
	if (size > tar->left) {
		tar->is_over = true;
		return -ESTALE;
	}
	tar->left -= size;
	return put(tar, data, size);
}

int tar_end_member(struct tar *tar)
{
	if (tar->left > 0 || tar->is_over)
		return -ESTALE;
	return pad(tar, BLOCK);
}

int tar_finish(struct tar *tar)
{
	static const uint8_t zeros[2 * BLOCK];
	int r = put(tar, zeros, sizeof(zeros));

	if (r == 0)
		r = pad(tar, RECORD);
	return r < 0 ? r : flush(tar);
}
