/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an opened backing file is: its header, key and size, and whether it ends as it should.
 *
 * A file of one block is read with its header in one call, and stays in memory for the first read:
 * tools that copy many small files out pay two system calls for each.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include "fs/store/file_internal.h"

#define SMALL_FILE_SIZE (UINT64_C(64) << 10)

/* What was read so far: the header, and behind it the only block of a small file. */
struct beginning {
	uint8_t *data; /* the thread's buffer */
	size_t size;
	uint64_t sealed_size; /* of the file */
	struct timespec changed;
	bool has_all;
};

static int read_beginning(struct file *file, const struct stat *st, struct beginning *ret_beginning)
{
	struct thread_buffers *buffers = thread_buffers(file->layout);
	uint64_t sealed_size = (uint64_t)st->st_size;

	if (!buffers)
		return -ENOMEM;

	bool is_small = sealed_size <= SMALL_FILE_SIZE + LAYOUT_EMPTY_FILE_SIZE &&
			sealed_size < HEADER_SIZE + (uint64_t)file->layout->sealed_block_size;
	ssize_t n = read_all(file->fd, buffers->sealed, is_small ? sealed_size : HEADER_SIZE, 0);

	if (n < 0)
		return (int)n;
	*ret_beginning = (struct beginning){
		.data = buffers->sealed,
		.size = (size_t)n,
		.sealed_size = sealed_size,
		.changed = st->st_ctim,
		.has_all = is_small && (uint64_t)n == sealed_size,
	};
	return 0;
}

/* The DEK that a header names: for writing where the file is to be written. */
static int get_dek(const struct file *file, const struct file_open_options *options,
		   const struct header *header, struct dek **ret_dek)
{
	int r;

	if (options->access == FILE_READ)
		return store_dek(file->store, &header->dek, ret_dek);
	r = store_dek_for_write(file->store, &header->dek, ret_dek);
	/* Truncation may take the file away from a DEK that is not trusted; file_open() decides. */
	if (r == -EACCES && options->is_truncating)
		return store_dek(file->store, &header->dek, ret_dek);
	return r;
}

static int take_header(struct file *file, const struct file_open_options *options,
		       const uint8_t data[static HEADER_SIZE], const char **reterr_fault)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct aead_key *key = NULL;
	struct header header;
	int r = header_parse(file->store, (struct bytes){ data, HEADER_SIZE }, &header,
			     reterr_fault);

	if (r < 0)
		return r;
	if (file->expected) {
		*reterr_fault = "not the file that was sealed";
		r = file->expected->check_header(file->expected, &header);
		if (r < 0)
			return r;
	}
	r = get_dek(file, options, &header, &dek);
	/* A data key that has no record never made a file here. */
	if (r == -ENOENT) {
		*reterr_fault = "unknown-key";
		return -EBADMSG;
	}
	if (r < 0)
		return r;
	*reterr_fault = "bad-tag";
	r = header_verify(data, dek);
	if (r < 0)
		return r;
	r = header_key(&header, dek, &key);
	if (r < 0)
		return r;
	dek_put(file->dek);
	aead_key_free(file->key);
	file->dek = TAKE(dek);
	file->key = key;
	file->header = header;
	return 0;
}

static bool take_size(struct file *file, uint64_t sealed_size)
{
	bool is_terminated = false;

	file->sealed_size = sealed_size;
	file->size = layout_plain_size(file->layout, sealed_size, &is_terminated);
	file->seal_count = layout_block_count(file->layout, file->size);
	if (file->size_high < file->size)
		file->size_high = file->size;
	return is_terminated;
}

/* 0, -EBADMSG ... */
static int try_end(struct file *file)
{
	uint8_t *plain = block_get(file->layout->block_size);
	int r = plain ? block_try(file, tail_index(file), plain) : -ENOMEM;

	block_put(plain, file->layout->block_size, file->layout->block_size);
	return r;
}

/* Read-only stores: journals of dead mounts may say that the file is another. */
static int take_recovery(struct file *file, const struct file_open_options *options,
			 uint8_t header[static HEADER_SIZE], struct beginning *beginning,
			 const char **reterr_fault)
{
	struct recovery *recovery = store_recovery(file->store);

	file->recovery = NULL;
	/* What is left over of a sealed file is obsolete. */
	if (store_is_writable(file->store) || !recovery || file->expected ||
	    !recovery_is_needed(recovery, &file->header.dek))
		return 0;

	const uint8_t *object_id = file->header.object_id;
	bool is_terminated = take_size(file, beginning->sealed_size);

	memcpy(file->stored_content_id, file->header.content_id, sizeof(file->stored_content_id));
	file->backing.size = beginning->sealed_size;
	/* Reads into the buffer that the beginning is in. */
	beginning->has_all = false;
	file->backing.is_end_authentic = is_terminated && try_end(file) == 0;
	if (!recovery_overlay(recovery, object_id, file->stored_content_id, &file->backing, 0,
			      header, HEADER_SIZE))
		return 0;
	beginning->sealed_size = recovery_size(recovery, object_id, file->stored_content_id,
					       &file->backing);
	file->recovery = recovery;
	return take_header(file, options, header, reterr_fault);
}

/* The only block of a small file, from what was read with the header. */
static int take_only_block(struct file *file, const struct file_open_options *options,
			   const struct beginning *beginning)
{
	uint8_t *plain = block_get(file->layout->block_size);
	const struct sealed_blocks block = {
		0, 1, { beginning->data + HEADER_SIZE, beginning->size - HEADER_SIZE }
	};
	uint64_t failed = 0;

	if (!plain)
		return -ENOMEM;
	int r = open_sealed(file, &block, plain, &failed);

	if (r < 0) {
		block_put(plain, file->layout->block_size, 0);
	} else if (options->access == FILE_WRITE) {
		file->tail = plain;
		file->has_tail = true;
	} else {
		slots_offer(file, 0, (uint32_t)file->size, &plain);
		block_put(plain, file->layout->block_size, file->layout->block_size);
	}
	return r;
}

/* Whoever cut the file may have left an empty last block that no read would ever touch. */
static int check_end(struct file *file, const struct file_open_options *options,
		     const struct beginning *beginning)
{
	uint8_t none;
	int r = 0;

	if (beginning->has_all && !file->recovery)
		r = take_only_block(file, options, beginning);
	else if (options->access == FILE_WRITE) {
		if (!file->tail)
			file->tail = block_get(file->layout->block_size);
		r = file->tail ? block_try(file, tail_index(file), file->tail) : -ENOMEM;
		file->has_tail = r == 0;
	} else if (tail_fill(file) == 0) {
		r = block_try(file, tail_index(file), &none);
	}
	return r;
}

/*
 * What the journal still owes the file comes first: what an earlier close found no room for, and what
 * dead mounts left, which is replayed when the DEK becomes available, that is: just now, perhaps.
 * 1: what was read before may be old.
 */
static int settle(const struct file *file, const struct beginning *beginning, bool has_leftovers)
{
	struct stat st;

	if (!store_is_writable(file->store) || !store_journal(file->store))
		return 0;
	int r = journal_settle(store_journal(file->store), file->header.object_id);

	if (r != 0 || !has_leftovers)
		return r;
	if (fstat(file->fd, &st) < 0)
		return -errno;
	return st.st_ctim.tv_sec != beginning->changed.tv_sec ||
	       st.st_ctim.tv_nsec != beginning->changed.tv_nsec ||
	       (uint64_t)st.st_size != beginning->sealed_size;
}

/* 1: the file has changed meanwhile, read it again.  *reterr_fault: what is wrong with a header or a size, a static text; NULL: the last block. */
static int load_once(struct file *file, const struct file_open_options *options,
		     const struct stat *st, const char **reterr_fault)
{
	struct beginning beginning;
	uint8_t header[HEADER_SIZE];
	const struct recovery *recovery = store_recovery(file->store);
	bool has_leftovers = recovery && recovery_pending(recovery) > 0;
	/* Before the beginning is read: both need the thread's buffer. */
	int r = file->expected ? expected_tags_fetch(file, 0, 1) : 0;

	*reterr_fault = "no header";
	if (r == 0)
		r = read_beginning(file, st, &beginning);
	if (r < 0)
		return r;
	if (beginning.size < HEADER_SIZE)
		return options->is_truncating ? -ENODATA : -EBADMSG;
	memcpy(header, beginning.data, HEADER_SIZE);
	file->recovery = NULL;
	r = take_header(file, options, header, reterr_fault);
	if (r == 0)
		r = take_recovery(file, options, header, &beginning, reterr_fault);
	if (r == 0)
		r = settle(file, &beginning, has_leftovers);
	if (r != 0)
		return r;

	*reterr_fault = "no last block";
	if (!take_size(file, beginning.sealed_size) && !options->is_truncating)
		return -EBADMSG;
	if (file->expected) {
		*reterr_fault = "not the size that was sealed";
		if (file->size != file->expected->size)
			return -EBADMSG;
	}
	*reterr_fault = NULL;
	return options->is_truncating ? 0 : check_end(file, options, &beginning);
}

static int load_again(struct file *file, const struct file_open_options *options,
		      const char **reterr_fault)
{
	struct stat st;

	return fstat(file->fd, &st) < 0 ? -errno : load_once(file, options, &st, reterr_fault);
}

static void report_fault(struct file *file, const char *fault)
{
	if (fault)
		store_report(file->store, LOG_ERR, file->path, "not authentic: %s", fault);
	else
		block_report(file, tail_index(file));
}

int file_load(struct file *file, const struct file_open_options *options, const struct stat *st)
{
	const char *fault = NULL;
	int r = load_once(file, options, st, &fault);

	for (unsigned i = 0; i < REREAD_COUNT && r == 1; i++)
		r = load_again(file, options, &fault);
	/* A writer on another mount may have been at work between fstat() and pread(). */
	for (unsigned i = 0; i < REREAD_COUNT && r == -EBADMSG && !store_is_writable(file->store);
	     i++) {
		wait_for_writer();
		r = load_again(file, options, &fault);
	}
	/* A header of another version is no header of this volume: nothing of such a file may be served. */
	if (r == -ENOTSUP)
		r = -EBADMSG;
	if (r == -EBADMSG)
		report_fault(file, fault);
	return r == 1 ? -EBUSY : r;
}

int file_refresh(struct file *file)
{
	const struct file_open_options options = { .access = FILE_READ };
	const char *fault = NULL;

	pthread_rwlock_wrlock(&file->lock);
	slots_forget(file, 0, UINT64_MAX);
	int r = load_again(file, &options, &fault);

	pthread_rwlock_unlock(&file->lock);
	return r;
}

int file_check_end(struct store *store, const struct dek *dek, int fd)
{
	struct file file = { .store = store, .layout = store_layout(store), .fd = fd };
	struct beginning beginning;
	uint8_t header[HEADER_SIZE];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	int r = read_beginning(&file, &st, &beginning);

	if (r < 0)
		return r;
	if (beginning.size < HEADER_SIZE)
		return -EBADMSG;
	memcpy(header, beginning.data, HEADER_SIZE);
	r = header_parse(store, (struct bytes){ header, HEADER_SIZE }, &file.header, NULL);
	if (r < 0)
		return r;
	if (!uuid_equal(&file.header.dek, dek_id(dek)))
		return -EBADMSG;
	r = header_verify(header, dek);
	if (r < 0)
		return r;
	if (!take_size(&file, beginning.sealed_size))
		return -EBADMSG;
	r = header_key(&file.header, dek, &file.key);
	if (r < 0)
		return r;
	r = try_end(&file);
	aead_key_free(file.key);
	return r;
}
