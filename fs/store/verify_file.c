/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file: its header and size when it is opened, then every block, or a random part of them.
 *
 * Content is read in chunks.  A chunk that fails is read again block by block, so that each bad one is named.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/store/file.h"
#include "fs/store/verify_internal.h"
#include "kms/crypto/random.h"

#define CHUNK_SIZE   ((size_t)1 << 20)
#define REPORTED_MAX 64                   /* bad blocks of one file */
#define MARKED_SIZE  (UINT64_C(16) << 20) /* smaller files are read again by a run that goes on */

/* ---- Memory of a thread ---------------------------------------------------------------------- */

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

static void make_key(void)
{
	key_error = -pthread_key_create(&key, free);
}

static uint8_t *own_chunk(void)
{
	uint8_t *chunk;

	pthread_once(&key_once, make_key);
	if (key_error < 0)
		return NULL;
	chunk = pthread_getspecific(key);
	if (chunk)
		return chunk;
	chunk = malloc(CHUNK_SIZE);
	if (chunk && pthread_setspecific(key, chunk) != 0) {
		free(chunk);
		return NULL;
	}
	return chunk;
}

/* ---- Content --------------------------------------------------------------------------------- */

struct reading {
	struct verifying *verifying;
	const struct walk_item *item;
	const char *path;
	struct file *file;
	uint64_t size;
	uint8_t *chunk;
	unsigned reported;
};

/* The last block, and an unclean end, is what a crash leaves. */
static enum finding_class class_of_block(const struct reading *reading, uint64_t block)
{
	const struct layout *layout = store_layout(reading->verifying->options->store);

	return snapshot_state(reading->verifying->snapshot) == SNAPSHOT_INCOMPLETE &&
			       block == layout_block_index(layout, reading->size)
		       ? FINDING_TORN
		       : FINDING_TAMPERED;
}

static void report_block(struct reading *reading, uint64_t offset)
{
	const uint64_t block = offset /
			       store_layout(reading->verifying->options->store)->block_size;

	if (reading->reported++ < REPORTED_MAX)
		verify_report(reading->verifying, class_of_block(reading, block), reading->path,
			      block, "not authentic");
}

/* Which blocks of a chunk that failed are bad. */
static int find_bad(struct reading *reading, uint64_t offset, size_t size)
{
	const uint32_t step = store_layout(reading->verifying->options->store)->block_size;

	for (uint64_t at = offset; at < offset + size; at += step) {
		const ssize_t n = file_read(reading->file, reading->chunk, step, at);

		if (verify_is_fatal((int)n))
			return (int)n;
		if (n < 0)
			report_block(reading, at);
	}
	return 0;
}

static bool is_sampled(const struct verify_options *options)
{
	uint32_t draw = 0;

	if (options->sample_percent >= 100)
		return true;
	return random_fill((uint8_t *)&draw, sizeof(draw)) == 0 &&
	       draw % 100 < options->sample_percent;
}

static int read_chunk(struct reading *reading, uint64_t offset, size_t size)
{
	const struct verify_observer *observer = reading->verifying->options->observer;
	size_t done = 0;

	while (done < size) {
		const ssize_t n = file_read(reading->file, reading->chunk, size - done,
					    offset + done);

		if (n < 0 && !verify_is_fatal((int)n))
			return find_bad(reading, offset, size);
		if (n <= 0)
			return (int)n;
		done += (size_t)n;
	}
	atomic_fetch_add(&reading->verifying->counts->bytes, size);
	observer->done(observer->arg, 0, size, false);
	return 0;
}

static int read_content(struct reading *reading)
{
	int r = 0;

	for (uint64_t at = 0; r == 0 && at < reading->size; at += CHUNK_SIZE) {
		const uint64_t left = reading->size - at;

		if (walk_has_ended(reading->item->directory->walk))
			return -ECANCELED;
		/* The end is where crashes show: it is always read. */
		if (left <= CHUNK_SIZE || is_sampled(reading->verifying->options))
			r = read_chunk(reading, at, left < CHUNK_SIZE ? (size_t)left : CHUNK_SIZE);
	}
	return r;
}

/* ---- The file -------------------------------------------------------------------------------- */

/* What kept it from being opened: its size below tells whether its writer ended it. */
static int report_unopened(struct verifying *verifying, const struct walk_item *item,
			   const char *path, int error)
{
	bool is_terminated = true;
	struct stat stat;

	if (verify_is_fatal(error))
		return error;
	if (verifying->view && error == -EBADMSG) {
		verify_report(verifying, FINDING_TAMPERED, path, FINDING_NO_BLOCK,
			      "it is not the file, or not the version, that was sealed");
		return 0;
	}
	if (snapshot_is_encrypted(verifying->snapshot) &&
	    fstatat(item->directory->place.fd, item->backing, &stat, AT_SYMLINK_NOFOLLOW) == 0)
		(void)layout_plain_size(store_layout(verifying->options->store),
					(uint64_t)stat.st_size, &is_terminated);
	if (error == -EBADMSG && !is_terminated)
		verify_report(verifying, FINDING_UNTERMINATED, path, FINDING_NO_BLOCK,
			      "its last block is missing");
	else if (error == -EBADMSG || error == -ESTALE)
		verify_report(verifying, FINDING_TAMPERED, path, FINDING_NO_BLOCK,
			      "its header or last block is not authentic");
	else
		verify_report(verifying, FINDING_TAMPERED, path, FINDING_NO_BLOCK,
			      "cannot be read: %s", strerror(-error));
	return 0;
}

static bool is_large_and_done(struct verifying *verifying, const char *path, uint64_t size)
{
	const struct verify_observer *observer = verifying->options->observer;

	return observer->is_done && size >= MARKED_SIZE &&
	       observer->is_done(observer->arg, snapshot_id(verifying->snapshot), path);
}

static int verify_content(struct reading *reading)
{
	const struct verify_observer *observer = reading->verifying->options->observer;
	int r;

	reading->size = file_size(reading->file);
	r = read_content(reading);
	if (r == 0 && reading->reported == 0 && observer->mark_done && reading->size >= MARKED_SIZE)
		observer->mark_done(observer->arg, snapshot_id(reading->verifying->snapshot),
				    reading->path);
	return r;
}

int verify_file(struct verifying *verifying, const struct walk_item *item, const char *path,
		bool was_done)
{
	const struct file_open_options options = { .access = FILE_READ };
	const struct verify_observer *observer = verifying->options->observer;
	const uint64_t size = (uint64_t)item->stat.st_size;
	struct reading reading = {
		.verifying = verifying,
		.item = item,
		.path = path,
		.chunk = own_chunk(),
	};
	int r;

	if (!reading.chunk)
		return -ENOMEM;
	was_done = was_done || is_large_and_done(verifying, path, size);
	r = verifying->view
		    ? sealed_file_open(verifying->view, &item->directory->place, item->backing,
				       &item->sealed, &reading.file)
		    : file_open(&item->directory->place, item->backing, &options, &reading.file);
	/* Removed meanwhile. */
	if (r == -ENOENT)
		return 0;
	atomic_fetch_add(was_done ? &verifying->counts->skipped : &verifying->counts->files, 1);
	observer->done(observer->arg, 1, was_done ? size : 0, was_done);
	if (r < 0)
		return report_unopened(verifying, item, path, r);
	r = was_done ? 0 : verify_content(&reading);
	(void)!file_close(reading.file, NULL);
	return r;
}
