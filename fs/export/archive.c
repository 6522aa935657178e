/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot as a tar archive. */
#include "fs/export/archive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fs/export/tar.h"

#define SMALL_SIZE (1 << 20)
#define TAR_BLOCK  512

struct archive {
	struct archive_options options;
	struct tar *tar;
	bool is_broken;
	struct restore_sink sink;
};

/* Below the archive's own directory, as "tar -C DIR -c ." has it. */
static char *member_path(const char *path)
{
	char *member = NULL;

	return asprintf(&member, "./%s", path) < 0 ? NULL : member;
}

/* After half a member nothing may follow. */
static int end(struct archive *archive, int error)
{
	if (error < 0)
		archive->is_broken = true;
	return error;
}

static int begin(struct archive *archive, const struct tar_member *member)
{
	const uint64_t before = tar_written(archive->tar);
	const int r = tar_member(archive->tar, member);

	return tar_written(archive->tar) == before ? r : end(archive, r);
}

static int add_member(struct archive *archive, const char *path, struct tar_member *member)
{
	char *own_path = NULL;
	int r = 0;

	if (archive->is_broken)
		return -ECANCELED;
	own_path = path[0] == '\0' ? strdup(".") : member_path(path);
	if (own_path == NULL)
		return -ENOMEM;
	member->path = own_path;
	r = begin(archive, member);
	free(own_path);
	member->path = NULL;
	return r;
}

/* A member without data. */
static int add_whole(struct archive *archive, const char *path, struct tar_member *member)
{
	const int r = add_member(archive, path, member);

	return r < 0 ? r : end(archive, tar_end_member(archive->tar));
}

/* ---- Files ----------------------------------------------------------------------------------- */

static int drop(void *arg, const uint8_t *data, size_t size, uint64_t offset)
{
	(void)arg;
	(void)data;
	(void)size;
	(void)offset;
	return 0;
}

static void count_nothing(void *arg, uint64_t bytes)
{
	(void)arg;
	(void)bytes;
}

/* All blocks verify; nothing of them is kept. */
static int check_content(struct content_job *job)
{
	struct content_job check = *job;
	int r = 0;

	check.write = drop;
	check.hash = NULL;
	check.progressed = count_nothing;
	r = content_copy(&check);
	job->failed_offset = check.failed_offset;
	return r;
}

/* Call SEE with each range of data in turn; stops where it fails. */
static int each_range(const struct content_job *job,
		      int (*see)(void *arg, uint64_t offset, uint64_t size), void *arg)
{
	uint64_t offset = 0;
	uint64_t range_end = 0;
	int r = 0;

	while (r == 0 && offset < job->size) {
		r = content_find_data(job->file, &offset, job->size, &range_end);
		if (r == -ENXIO)
			return 0;
		if (r == 0)
			r = see(arg, offset, range_end - offset);
		offset = range_end;
	}
	return r;
}

struct map {
	struct tar *tar; /* NULL: only measured */
	uint64_t ranges;
	uint64_t text_size;
	uint64_t data_size;
	bool has_odd_range; /* readers take whole blocks of all ranges but the last */
};

static int put_number(struct map *map, uint64_t number)
{
	char text[24];
	const int length = snprintf(text, sizeof(text), "%" PRIu64 "\n", number);

	map->text_size += (uint64_t)length;
	return map->tar == NULL ? 0 : tar_data(map->tar, text, (size_t)length);
}

static int put_range(void *arg, uint64_t offset, uint64_t size)
{
	struct map *map = arg;
	int r = 0;

	if (size > 0 && map->data_size % TAR_BLOCK != 0)
		map->has_odd_range = true;
	map->ranges++;
	map->data_size += size;
	r = put_number(map, offset);
	return r < 0 ? r : put_number(map, size);
}

/* A last range of nothing says where the file ends. */
static int put_ranges(const struct content_job *job, struct map *map)
{
	int r = each_range(job, put_range, map);

	if (r == 0)
		r = put_range(map, job->size, 0);
	return r;
}

static uint64_t padding_of(uint64_t size)
{
	return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK;
}

/* How the file can be written without its holes.  false: it has none, or they are better written. */
static int measure(const struct content_job *job, struct map *map, struct tar_sparse *ret_sparse,
		   bool *ret_is_sparse)
{
	struct map count = { 0 };
	int r = put_ranges(job, map);

	if (r == 0)
		r = put_number(&count, map->ranges);
	if (r < 0)
		return r;
	map->text_size += count.text_size;
	ret_sparse->map_size = map->text_size + padding_of(map->text_size);
	ret_sparse->data_size = map->data_size;
	*ret_is_sparse = map->data_size < job->size && !map->has_odd_range;
	return 0;
}

static int put_map(struct archive *archive, const struct content_job *job, uint64_t ranges)
{
	static const char zeros[TAR_BLOCK];
	struct map map = { .tar = archive->tar };
	int r = put_number(&map, ranges);

	if (r == 0)
		r = put_ranges(job, &map);
	return r < 0 ? r : tar_data(archive->tar, zeros, (size_t)padding_of(map.text_size));
}

/* What is sent: where the next data is expected; holes between are written where there is no map. */
struct sending {
	struct archive *archive;
	bool is_sparse;
	uint64_t next;
};

static int send_zeros(struct sending *sending, uint64_t to)
{
	static const uint8_t zeros[65536];
	int r = 0;

	while (r == 0 && sending->next < to) {
		const uint64_t left = to - sending->next;
		const size_t part = left < sizeof(zeros) ? (size_t)left : sizeof(zeros);

		r = tar_data(sending->archive->tar, zeros, part);
		sending->next += part;
	}
	return r;
}

static int send_data(void *arg, const uint8_t *data, size_t size, uint64_t offset)
{
	struct sending *sending = arg;
	int r = sending->is_sparse ? 0 : send_zeros(sending, offset);

	sending->next = offset + size;
	return r < 0 ? r : tar_data(sending->archive->tar, data, size);
}

static int send_content(struct archive *archive, struct content_job *job, bool is_sparse)
{
	struct sending sending = { .archive = archive, .is_sparse = is_sparse };
	int r = 0;

	job->write = send_data;
	/* cppcheck-suppress autoVariables -- the job is done when this returns */
	job->write_arg = &sending;
	r = content_copy(job);
	if (r == 0 && !is_sparse)
		r = send_zeros(&sending, job->size);
	return r < 0 ? r : tar_end_member(archive->tar);
}

static int add_file(void *arg, const struct sink_object *object, struct content_job *job)
{
	struct archive *archive = arg;
	struct attributes attributes = *object->attributes;
	struct tar_member member = { .attributes = &attributes };
	struct tar_sparse sparse = { 0 };
	struct map map = { 0 };
	bool is_sparse = false;
	int r = 0;

	if (archive->is_broken)
		return -ECANCELED;
	if (archive->options.checks_first || job->size <= SMALL_SIZE)
		r = check_content(job);
	if (r == 0)
		r = measure(job, &map, &sparse, &is_sparse);
	if (r < 0)
		return r;
	/* As the file says itself: it may have changed since it was looked at. */
	attributes.stat.st_size = (off_t)job->size;
	member.sparse = is_sparse ? &sparse : NULL;
	r = add_member(archive, object->path, &member);
	if (r < 0)
		return r;
	if (is_sparse)
		r = put_map(archive, job, map.ranges);
	return end(archive, r < 0 ? r : send_content(archive, job, is_sparse));
}

/* ---- Others ---------------------------------------------------------------------------------- */

static int begin_directory(void *arg, const struct sink_object *directory, void **ret_data)
{
	struct tar_member member = { .attributes = directory->attributes };

	*ret_data = NULL;
	return add_whole(arg, directory->path, &member);
}

static int end_directory(void *arg, const struct sink_object *directory, void *data)
{
	(void)arg;
	(void)directory;
	(void)data;
	return 0;
}

static int add_symlink(void *arg, const struct sink_object *object, const char *target)
{
	struct tar_member member = { .attributes = object->attributes, .target = target };

	return add_whole(arg, object->path, &member);
}

static int add_special(void *arg, const struct sink_object *object)
{
	struct archive *archive = arg;
	struct tar_member member = { .attributes = object->attributes };

	if (S_ISSOCK(object->attributes->stat.st_mode)) {
		archive->options.skipped(archive->options.arg, object->path);
		return 1;
	}
	return add_whole(archive, object->path, &member);
}

static int add_link(void *arg, const struct sink_object *object, const char *first)
{
	const struct attributes none = { .count = 0 };
	struct tar_member member = { .attributes = &none, .is_link = true };
	char *target = member_path(first);
	int r = target == NULL ? -ENOMEM : 0;

	member.target = target;
	if (r == 0)
		r = add_whole(arg, object->path, &member);
	free(target);
	return r;
}

int archive_add(struct archive *archive, const char *path, const void *data, size_t size)
{
	const time_t now = time(NULL);
	const struct attributes attributes = {
		.stat = {
			.st_mode = S_IFREG | 0644,
			.st_size = (off_t)size,
			.st_mtim = { .tv_sec = now },
			.st_atim = { .tv_sec = now },
		},
	};
	struct tar_member member = { .attributes = &attributes };
	int r = add_member(archive, path, &member);

	if (r == 0)
		r = end(archive, tar_data(archive->tar, data, size));
	return r < 0 ? r : end(archive, tar_end_member(archive->tar));
}

/* ---- All of it ------------------------------------------------------------------------------- */

int archive_open(const struct archive_options *options, struct archive **ret_archive)
{
	struct archive *archive = calloc(1, sizeof(*archive));
	int r = archive == NULL ? -ENOMEM : tar_open(options->fd, &archive->tar);

	if (r < 0) {
		archive_free(archive);
		return r;
	}
	archive->options = *options;
	archive->sink = (struct restore_sink){
		.begin = begin_directory,
		.end = end_directory,
		.file = add_file,
		.symlink = add_symlink,
		.special = add_special,
		.link = add_link,
		.arg = archive,
	};
	*ret_archive = archive;
	return 0;
}

void archive_free(struct archive *archive)
{
	if (archive == NULL)
		return;
	tar_free(archive->tar);
	free(archive);
}

const struct restore_sink *archive_sink(const struct archive *archive)
{
	return &archive->sink;
}

bool archive_is_broken(const struct archive *archive)
{
	return archive->is_broken;
}

int archive_finish(struct archive *archive)
{
	int r = archive->is_broken ? -ECANCELED : tar_finish(archive->tar);

	/* Pipes cannot be synced. */
	if (r == 0 && fsync(archive->options.fd) != 0 && errno != EINVAL && errno != EROFS)
		r = -errno;
	return r;
}
