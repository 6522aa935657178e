/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the size of a file. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/file_internal.h"
#include "fs/store/tag_memory.h"
#include "kms/crypto/random.h"

/* The plaintext of the block in which a shrunken file ends, in file->tail's place. */
static int load_new_end(struct file *file, uint64_t index, uint32_t fill, const uint8_t **ret_plain)
{
	struct block_slot *slot = NULL;
	int r = 0;

	*ret_plain = NULL;
	if (fill == 0)
		return 0;
	if (index == tail_index(file)) {
		r = tail_load(file);
		*ret_plain = file->tail;
		return r;
	}
	r = block_slot_load(file, index, NULL, &slot);
	if (r == 0)
		*ret_plain = slot->plain;
	return r;
}

int shrink_locked(struct file *file, uint64_t size)
{
	const struct undo_list none = { 0 };
	uint64_t index = layout_block_index(file->layout, size);
	uint32_t fill = layout_block_offset(file->layout, size);
	const uint8_t *plain = NULL;
	struct sealed_run run;
	int r = prepare_change(file, index);

	if (r == 0)
		r = load_new_end(file, index, fill, &plain);
	if (r == 0 && !file->tail)
		file->tail = block_get(file->layout->block_size);
	if (r == 0 && !file->tail)
		return -ENOMEM;
	if (r == 0)
		r = run_begin(file, &run, index, size);
	if (r == 0)
		r = run_add(file, &run, (struct bytes){ plain, fill }, true);
	if (r < 0)
		return r;
	run.is_exact = true;
	r = run_store(file, &run, &none);
	if (r < 0)
		return r;
	if (plain && plain != file->tail)
		memcpy(file->tail, plain, fill);
	file->has_tail = true;
	slots_forget(file, index, UINT64_MAX);
	if (file->covered_size > size)
		file->covered_size = size;
	return 0;
}

/* ---- to zero ---------------------------------------------------------------------------------- */

/* What a file is after truncation to zero. */
struct fresh {
	struct header header;
	struct dek *dek;
	struct aead_key *key;
	uint8_t data[LAYOUT_EMPTY_FILE_SIZE];
};

static void fresh_cleanup(struct fresh *fresh)
{
	dek_put(fresh->dek);
	aead_key_free(fresh->key);
}

static int make_fresh(struct file *file, struct dek *new_dek, struct fresh *fresh)
{
	fresh->dek = dek_ref(new_dek ? new_dek : file->dek);
	fresh->header = file->header;
	fresh->header.is_sparse = false;
	fresh->header.dek = *dek_id(fresh->dek);
	int r = random_fill(fresh->header.content_id, sizeof(fresh->header.content_id));

	if (r == 0)
		r = header_key(&fresh->header, fresh->dek, &fresh->key);
	if (r == 0)
		r = header_empty_file(&fresh->header, fresh->dek, fresh->key, fresh->data);
	return r;
}

/* Covered content: header and last block in one record, so that a crash finds all or nothing. */
static int clear_journaled(struct file *file, const struct fresh *fresh)
{
	const struct journal_change change = {
		.data = { fresh->data, sizeof(fresh->data) },
		.result = sizeof(fresh->data),
		.is_exact = true,
		.has_header = true,
	};
	int r = prepare_change(file, 0);

	if (r == 0)
		r = journal_change(file, &change);
	/* The records that follow are of another content: these must be done with. */
	return r < 0 ? r : retire(file);
}

static int clear_direct(struct file *file, const struct fresh *fresh)
{
	uint8_t image[LAYOUT_EMPTY_FILE_SIZE];
	size_t written = 0;
	ssize_t n = read_all(file->fd, image, sizeof(image), 0);

	if (n < 0)
		return (int)n;
	int r = write_all(file->fd, fresh->data, sizeof(fresh->data), 0, &written);

	if (r == 0 && ftruncate(file->fd, sizeof(fresh->data)) < 0)
		r = -errno;
	if (r < 0 && written > 0) {
		int back = write_all(file->fd, image, (size_t)n, 0, &written);

		if (back == 0 && (size_t)n < sizeof(image) && ftruncate(file->fd, n) < 0)
			back = -errno;
		if (back < 0)
			file->failure = -EIO;
	}
	return r;
}

/* FILE is what FRESH says; the old keys go. */
static void become_fresh(struct file *file, struct fresh *fresh)
{
	dek_put(file->dek);
	aead_key_free(file->key);
	file->dek = TAKE(fresh->dek);
	file->key = TAKE(fresh->key);
	file->header = fresh->header;
	memcpy(file->stored_content_id, file->header.content_id, sizeof(file->stored_content_id));
	file->size = 0;
	file->sealed_size = LAYOUT_EMPTY_FILE_SIZE;
	file->seal_count = 1;
	file->has_tail = true;
	set_covered(file, 0);
	slots_forget(file, 0, UINT64_MAX);
	tags_begin(file, fresh->data + sizeof(fresh->data) - LAYOUT_BLOCK_TAG_SIZE);
	for (size_t i = 0; i < FILE_REPORTS_MAX; i++)
		atomic_store(&file->reports[i], 0);
}

int clear_locked(struct file *file, struct dek *new_dek)
{
	CLEANUP(fresh_cleanup) struct fresh fresh = { 0 };
	int r;

	/* A record cannot name two DEKs: first empty under the old one, then move. */
	if (file->direct_from > 0 && new_dek) {
		r = clear_locked(file, NULL);
		if (r < 0)
			return r;
	}
	r = make_fresh(file, new_dek, &fresh);
	if (r < 0)
		return r;
	tags_prepare(file);
	r = file->direct_from > 0 ? clear_journaled(file, &fresh) : clear_direct(file, &fresh);
	if (r < 0)
		return r;
	become_fresh(file, &fresh);
	return 0;
}

static int truncate_locked(struct file *file, uint64_t size)
{
	if (size == 0)
		return file->size == 0 && !file->header.is_sparse ? 0 : clear_locked(file, NULL);
	if (size < file->size)
		return shrink_locked(file, size);
	return size > file->size ? grow_locked(file, size) : 0;
}

int file_truncate(struct file *file, uint64_t size)
{
	int r = file_check(file);

	if (r < 0)
		return r;
	if (!file->is_writable)
		return -EBADF;
	if (!file->is_encrypted)
		return ftruncate(file->fd, (off_t)size) < 0 ? -errno : 0;
	r = layout_check_range(file->layout, 0, size);
	if (r < 0)
		return r;
	pthread_rwlock_wrlock(&file->lock);
	r = truncate_locked(file, size);
	pthread_rwlock_unlock(&file->lock);
	return r;
}
