/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tags of a file that is being sealed: remembered from its writing, taken from an older manifest, or read again.
 *
 * What is remembered is compared with what is on disk: the header, the size, and tags.  Of blocks that the page cache holds
 * every tag is compared, which reads nothing from the disk; of the others one in SAMPLE_STEP, so that less than one percent
 * of the content is read.  Where another tag is on disk, the file is read: if all of it is authentic, an older version was put
 * back since this host wrote it, and the seal says so.  A file that was sealed before cannot have changed since through any mount: its last tag is
 * compared.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/file_internal.h"
#include "fs/store/finding.h"
#include "fs/store/sealed_view.h"
#include "fs/store/sealing.h"
#include "fs/store/tag_memory.h"

#define PIECE_TAGS  1024
#define SAMPLE_STEP 16

/* Objects of an older manifest by object id: sorted. */
struct older_object {
	uint8_t id[HEADER_OBJECT_ID_SIZE];
	uint64_t index;
};
struct older_manifest {
	struct sealed_view *view;
	struct older_object *objects;
	size_t count;
};

/* ---- What is on disk ----------------------------------------------------------------------------------------------- */

static uint64_t tag_offset(const struct sealing_file *file, const struct layout *layout,
			   uint64_t index)
{
	return layout_sealed_offset(layout, index) + layout_block_fill(layout, file->size, index) +
	       LAYOUT_BLOCK_OVERHEAD - LAYOUT_BLOCK_TAG_SIZE;
}

/* 1: it is there; 0: it is another; -EAGAIN: not in the page cache. */
static int compare_tag(const struct sealing_file *file, uint64_t offset,
		       const uint8_t tag[static MANIFEST_TAG_SIZE], bool is_cached_only)
{
	uint8_t found[MANIFEST_TAG_SIZE];
	const struct iovec into = { found, sizeof(found) };
	ssize_t n = preadv2(file->fd, &into, 1, (off_t)offset, is_cached_only ? RWF_NOWAIT : 0);

	if (n < 0 && is_cached_only && errno != EAGAIN)
		n = preadv2(file->fd, &into, 1, (off_t)offset, 0);
	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(found))
		return is_cached_only ? -EAGAIN : 0;
	return memcmp(found, tag, sizeof(found)) == 0;
}

/* How a file is known not to be what this host wrote. */
struct difference {
	bool is_known;
	uint64_t block; /* or FINDING_NO_BLOCK */
};

/* Compare COUNT tags from FIRST with those on disk.  1: as far as was looked, they are there; 0: RET_BLOCK is another. */
static int compare_tags(const struct sealing *sealing, const struct sealing_file *file,
			uint64_t first, size_t count, const uint8_t *tags, bool is_whole,
			uint64_t *ret_block)
{
	for (size_t i = 0; i < count; i++) {
		const uint64_t index = first + i;
		const uint8_t *tag = tags + i * MANIFEST_TAG_SIZE;
		const uint64_t offset = tag_offset(file, &sealing->store->layout, index);
		const bool is_sampled = is_whole || index % SAMPLE_STEP == 0 ||
					index + 1 == file->block_count;
		int r = compare_tag(file, offset, tag, true);

		if (r == -EAGAIN)
			r = is_sampled ? compare_tag(file, offset, tag, false) : 1;
		*ret_block = index;
		if (r != 1)
			return r;
	}
	return 1;
}

/* ---- Remembered ---------------------------------------------------------------------------------------------------- */

/* 1: all tags are appended; 0: not known, or not what is on disk. */
static int add_remembered(struct sealing *sealing, const struct sealing_file *file,
			  struct difference *difference)
{
	const uint64_t before = sealing->tags.size;
	uint8_t tags[PIECE_TAGS * MANIFEST_TAG_SIZE];
	struct remembered remembered;
	int r = tag_memory_find(sealing->memory, &file->header, file->block_count, &remembered);

	*difference = (struct difference){ r == -ESTALE, FINDING_NO_BLOCK };
	if (r <= 0)
		return r == -ESTALE ? 0 : r;
	/* Not to read ahead: one page for each tag is enough. */
	(void)!posix_fadvise(file->fd, 0, 0, POSIX_FADV_RANDOM);
	for (uint64_t at = 0; r == 1 && at < file->block_count; at += PIECE_TAGS) {
		const uint64_t left = file->block_count - at;
		const size_t count = left < PIECE_TAGS ? (size_t)left : PIECE_TAGS;

		r = tag_memory_read(sealing->memory, &remembered, at, count, tags);
		if (r == 0)
			r = compare_tags(sealing, file, at, count, tags,
					 !remembered.is_of_this_boot, &difference->block);
		if (r == 1) {
			const int appended = spool_append(&sealing->tags, tags,
							  count * MANIFEST_TAG_SIZE);

			r = appended < 0 ? appended : 1;
		}
	}
	tag_memory_done(&remembered);
	if (r == 1)
		return 1;
	/* Put back by somebody, or lost by a crash before this boot: reading tells whether it is authentic. */
	difference->is_known = r == 0 && remembered.is_of_this_boot;
	int cut = spool_cut(&sealing->tags, before);

	return r < 0 && r != -ENODATA ? r : cut < 0 ? cut : 0;
}

/* ---- Of an older manifest ------------------------------------------------------------------------------------------ */

static int compare_older(const void *a, const void *b)
{
	return memcmp(a, b, HEADER_OBJECT_ID_SIZE);
}

static void free_older(struct older_manifest *older)
{
	if (!older)
		return;
	sealed_view_put(older->view);
	free(older->objects);
	free(older);
}

void sealing_free_older(struct sealing *sealing)
{
	for (size_t i = 0; i < sealing->older_count; i++)
		free_older(sealing->older[i]);
	sealing->older_count = 0;
}

static int read_older(struct older_manifest *older)
{
	const uint64_t count = sealed_object_count(older->view);
	int r = 0;

	older->objects = calloc((size_t)count + 1, sizeof(*older->objects));
	if (!older->objects)
		return -ENOMEM;
	for (uint64_t i = 0; r == 0 && i < count; i++) {
		struct manifest_object object;

		r = sealed_object(older->view, i, &object);
		if (r < 0 || !S_ISREG(object.mode))
			continue;
		older->objects[older->count].index = i;
		memcpy(older->objects[older->count++].id, object.object_id, HEADER_OBJECT_ID_SIZE);
	}
	if (older->count > 1)
		qsort(older->objects, older->count, sizeof(*older->objects), compare_older);
	return r;
}

/* A snapshot of that id, wherever it is now. */
struct snapshot_search {
	const struct uuid *id;
	struct snapshot *found;
};

static int visit_snapshot(void *arg, struct snapshot *snapshot, int fd)
{
	struct snapshot_search *search = arg;

	(void)fd;
	if (!uuid_equal(snapshot_id(snapshot), search->id))
		return 0;
	search->found = snapshot_ref(snapshot);
	return 1;
}

/* The manifest of the seal SEQUENCE, among those that are kept.  -ENOENT: it cannot be had. */
static int need_older(struct sealing *sealing, uint64_t sequence, struct older_manifest **ret_older)
{
	CLEANUP(seal_cleanup) struct seal seal = { 0 };
	struct snapshot_search search = { 0 };
	struct older_manifest *older;
	int r;

	for (size_t i = 0; i < sealing->older_count; i++) {
		*ret_older = sealing->older[i];
		if (sealed_view_seal((*ret_older)->view)->record.sequence == sequence)
			return 0;
	}
	r = seal_load(sealing->store, sequence, &seal);
	if (r < 0)
		return r;
	search.id = &seal.record.snapshot;
	r = snapshot_each(sealing->store, visit_snapshot, &search);
	if (!search.found)
		return r < 0 ? r : -ENOENT;
	older = calloc(1, sizeof(*older));
	r = older ? sealed_view_open(search.found, &older->view, NULL) : -ENOMEM;
	snapshot_put(search.found);
	if (r == 0)
		r = read_older(older);
	if (r < 0) {
		free_older(older);
		return r;
	}
	if (sealing->older_count == SEALING_OLDER_MAX)
		free_older(sealing->older[--sealing->older_count]);
	sealing->older[sealing->older_count++] = older;
	*ret_older = older;
	return 0;
}

/* 1: all tags are appended; 0: the manifest has no such file. */
static int copy_older(struct sealing *sealing, const struct sealing_file *file,
		      const struct older_manifest *older)
{
	const struct older_object *found = bsearch(file->header.object_id, older->objects,
						   older->count, sizeof(*found), compare_older);
	const uint64_t before = sealing->tags.size;
	uint8_t tags[PIECE_TAGS * MANIFEST_TAG_SIZE];
	struct manifest_object object;
	uint64_t block;
	int r = found ? sealed_object(older->view, found->index, &object) : -ENOENT;

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (memcmp(object.content_id, file->header.content_id, sizeof(object.content_id)) != 0 ||
	    object.size != file->size || object.is_sparse != file->header.is_sparse ||
	    object.tag_count != file->block_count)
		return 0;
	for (uint64_t at = 0; r == 0 && at < object.tag_count; at += PIECE_TAGS) {
		const uint64_t left = object.tag_count - at;
		const struct manifest_tag_range range = { at, left < PIECE_TAGS ? (size_t)left
										: PIECE_TAGS };

		r = manifest_read_tags(sealed_view_manifest(older->view), &object, &range, tags);
		if (r == 0)
			r = spool_append(&sealing->tags, tags, range.count * MANIFEST_TAG_SIZE);
		if (r == 0 && left <= PIECE_TAGS)
			r = compare_tags(sealing, file, file->block_count - 1, 1,
					 tags + (range.count - 1) * MANIFEST_TAG_SIZE, true,
					 &block) == 1
				    ? 0
				    : -EBADMSG;
	}
	if (r == 0)
		return 1;
	int cut = spool_cut(&sealing->tags, before);

	return r == -EBADMSG ? cut : r;
}

static int add_older(struct sealing *sealing, const struct sealing_file *file)
{
	uint64_t *sequences = NULL;
	size_t count = 0;
	int r;

	if (uuid_equal(&file->header.dek, dek_id(sealing->dek)))
		return 0;
	r = store_seals_of_dek(sealing->store, &file->header.dek, &sequences, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct older_manifest *older = NULL;

		r = need_older(sealing, sequences[i], &older);
		if (r == 0)
			r = copy_older(sealing, file, older);
		/* One that cannot be read helps nobody; the file is read then. */
		else if (r == -ENOENT || r == -EBADMSG)
			r = 0;
	}
	free(sequences);
	return r;
}

/* ---- Read again ---------------------------------------------------------------------------------------------------- */

static int read_piece(struct file *file, uint64_t first, uint64_t count, struct spool *tags)
{
	const struct layout *layout = file->layout;
	const size_t step = layout->sealed_block_size;
	struct thread_buffers *buffers = thread_buffers(layout);
	const size_t size = (size_t)(count - 1) * step +
			    layout_block_fill(layout, file->size, first + count - 1) +
			    LAYOUT_BLOCK_OVERHEAD;
	uint8_t *plain = malloc((size_t)count * layout->block_size);
	uint64_t failed = first;
	int r = buffers && plain ? 0 : -ENOMEM;

	if (r == 0)
		r = read_sealed(file, layout_sealed_offset(layout, first), buffers->sealed, size);
	if (r == 0) {
		const struct sealed_blocks blocks = { first, count, { buffers->sealed, size } };

		r = open_sealed(file, &blocks, plain, &failed);
	}
	for (uint64_t i = 0; r == 0 && i < count; i++) {
		const size_t end = i + 1 < count ? (size_t)(i + 1) * step : size;

		r = spool_append(tags, buffers->sealed + end - LAYOUT_BLOCK_TAG_SIZE,
				 MANIFEST_TAG_SIZE);
	}
	if (plain)
		explicit_bzero(plain, (size_t)count * layout->block_size);
	free(plain);
	if (r == -EBADMSG)
		block_report(file, failed);
	return r;
}

static int add_read(struct sealing *sealing, const struct sealing_file *known)
{
	const struct file_open_options options = { .access = FILE_READ };
	const uint64_t most = FILE_CHUNK_SIZE / sealing->store->layout.block_size;
	struct file *file = NULL;
	int r = file_open(known->parent, known->backing, &options, &file);

	if (r < 0)
		return r;
	if (memcmp(&file->header, &known->header, sizeof(file->header)) != 0 ||
	    file->size != known->size)
		r = -ESTALE;
	for (uint64_t at = 0; r == 0 && at < known->block_count; at += most) {
		const uint64_t left = known->block_count - at;

		r = read_piece(file, at, left < most ? left : most, &sealing->tags);
	}
	(void)file_close(file, NULL);
	return r;
}

/* ---- What somebody has put back ------------------------------------------------------------------------------------ */

static int report_changed(struct sealing *sealing, const struct sealing_file *file, uint64_t block)
{
	char *path = sealing_plain_path(sealing, file->parent, file->backing);
	char *where = NULL;
	char number[32] = "";
	int r = 0;

	if (block != FINDING_NO_BLOCK)
		snprintf(number, sizeof(number), ": block %" PRIu64, block);
	if (!path ||
	    asprintf(&where, "%s/%s%s", snapshot_name(sealing->snapshot), path, number) < 0)
		r = -ENOMEM;
	free(path);
	if (r < 0)
		return r;
	sealing->changed_count++;
	store_report(sealing->store, sealing->options->accepts_changed ? LOG_WARNING : LOG_ERR,
		     where, "%s: authentic, but not what this host wrote there last",
		     finding_class_name(FINDING_TAMPERED));
	if (!sealing->first_changed)
		sealing->first_changed = TAKE(where);
	free(where);
	return 0;
}

int sealing_check_changed(struct sealing *sealing)
{
	char more[48] = "";

	if (sealing->changed_count == 0 || sealing->options->accepts_changed)
		return 0;
	if (sealing->changed_count > 1)
		snprintf(more, sizeof(more), " (and %" PRIu64 " more files)",
			 sealing->changed_count - 1);
	store_fail(sealing->reterr, -EBADMSG, EXIT_FINDINGS,
		   "%s: %s%s: authentic, but not what this host wrote there last: an older version "
		   "was put back, or another host wrote it; not sealed",
		   finding_class_name(FINDING_TAMPERED), sealing->first_changed, more);
	store_advise(sealing->reterr, "put the right version back, or take what is there with "
				      "'snapcrypt snapshot seal --accept-changed'");
	return -EBADMSG;
}

int sealing_tags(struct sealing *sealing, const struct sealing_file *file)
{
	struct difference difference;
	int r = add_remembered(sealing, file, &difference);

	if (r == 0)
		r = add_older(sealing, file);
	if (r == 1) {
		sealing->roots_remembered++;
		return 0;
	}
	if (r == 0)
		r = add_read(sealing, file);
	if (r == 0)
		sealing->roots_reread++;
	if (r == 0 && difference.is_known)
		r = report_changed(sealing, file, difference.block);
	return r;
}
