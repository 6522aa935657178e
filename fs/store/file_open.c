/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing encrypted files. */
#include "fs/store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/file_internal.h"
#include "fs/store/name.h"
#include "fs/store/tag_memory.h"
#include "fs/store/xattr.h"
#include "kms/crypto/random.h"

static char *join_path(const char *directory, const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "%s%s%s", directory, *directory ? "/" : "", name) < 0)
		return NULL;
	return path;
}

static bool init_locks(struct file *file)
{
	pthread_rwlockattr_t attributes;
	bool is_done = false;

	if (pthread_mutex_init(&file->cache_lock, NULL))
		return false;
	if (pthread_rwlockattr_init(&attributes) == 0) {
		/* A stream of reads must not keep a write out for ever. */
		pthread_rwlockattr_setkind_np(&attributes,
					      PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
		is_done = pthread_rwlock_init(&file->lock, &attributes) == 0;
		pthread_rwlockattr_destroy(&attributes);
	}
	if (!is_done)
		pthread_mutex_destroy(&file->cache_lock);
	return is_done;
}

static struct file *file_new(const struct place *parent, const char *backing)
{
	struct file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->path = join_path(parent->path, backing);
	if (!file->path || !init_locks(file)) {
		free(file->path);
		free(file);
		return NULL;
	}
	atomic_init(&file->references, 1);
	file->store = parent->store;
	file->snapshot = snapshot_ref(parent->snapshot);
	file->layout = store_layout(parent->store);
	file->fd = -1;
	file->slots = file->own_slots;
	file->slot_count = FILE_SLOT_COUNT;
	file->is_encrypted = snapshot_is_encrypted(parent->snapshot);
	return file;
}

void file_put(struct file *file)
{
	if (atomic_fetch_sub(&file->references, 1) > 1)
		return;
	if (file->is_encrypted)
		plain_forget(file);
	if (file->fd >= 0)
		close(file->fd);
	if (file->slots != file->own_slots)
		free(file->slots);
	if (file->expected)
		file->expected->free(file->expected);
	tags_forget(file);
	aead_key_free(file->key);
	dek_put(file->dek);
	snapshot_put(file->snapshot);
	pthread_rwlock_destroy(&file->lock);
	pthread_mutex_destroy(&file->cache_lock);
	free(file->path);
	free(file);
}

static void file_cleanup(struct file **file)
{
	if (*file)
		file_put(*file);
}

/* Never follows; does not wait for what somebody may have put in the file's place. */
static int open_below(const struct place *parent, const char *backing, enum file_access access)
{
	int flags = (access == FILE_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW |
		    O_NONBLOCK;
	int fd = openat(parent->fd, backing, flags | O_NOATIME);

	if (fd < 0 && errno == EPERM)
		fd = openat(parent->fd, backing, flags);
	return fd < 0 ? -errno : fd;
}

static int check_object(int fd, const struct stat *expected, struct stat *ret_stat)
{
	if (fstat(fd, ret_stat) < 0)
		return -errno;
	if (!S_ISREG(ret_stat->st_mode))
		return -ESTALE;
	if (expected &&
	    (ret_stat->st_dev != expected->st_dev || ret_stat->st_ino != expected->st_ino))
		return -ESTALE;
	return 0;
}

/* ---- create ----------------------------------------------------------------------------------- */

static int write_new_header(struct file *file)
{
	const struct volume_record *volume = store_volume(file->store);
	uint8_t data[LAYOUT_EMPTY_FILE_SIZE];

	file->header = (struct header){
		.algorithm = volume->algorithm,
		.block_size_log2 = file->layout->block_size_log2,
		.volume = volume->volume,
		.dek = *dek_id(file->dek),
	};
	uint8_t ids[HEADER_OBJECT_ID_SIZE + HEADER_CONTENT_ID_SIZE];
	int r = random_fill(ids, sizeof(ids));

	memcpy(file->header.object_id, ids, HEADER_OBJECT_ID_SIZE);
	memcpy(file->header.content_id, ids + HEADER_OBJECT_ID_SIZE, HEADER_CONTENT_ID_SIZE);
	if (r == 0)
		r = header_key(&file->header, file->dek, &file->key);
	if (r == 0)
		r = header_empty_file(&file->header, file->dek, file->key, data);
	if (r == 0)
		r = write_all(file->fd, data, sizeof(data), 0, NULL);
	if (r < 0)
		return r;
	file_write_index(file->fd, &file->header.dek);
	memcpy(file->stored_content_id, file->header.content_id, sizeof(file->stored_content_id));
	file->sealed_size = LAYOUT_EMPTY_FILE_SIZE;
	file->seal_count = 1;
	file->has_tail = true;
	tags_begin(file, data + sizeof(data) - LAYOUT_BLOCK_TAG_SIZE);
	return 0;
}

static int create_below(const struct place *parent, const char *backing, mode_t mode,
			struct file *file)
{
	file->fd = openat(parent->fd, backing, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			  mode);
	if (file->fd < 0)
		return -errno;
	int r = file->is_encrypted ? write_new_header(file) : 0;

	/* Nothing was promised about it yet. */
	if (r < 0 && unlinkat(parent->fd, backing, 0) < 0)
		return -errno;
	return r;
}

int file_create(const struct place *parent, const char *name, mode_t mode,
		struct backing_name *ret_backing, struct file **ret_file)
{
	CLEANUP(file_cleanup) struct file *file = NULL;
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct backing_name backing;
	int r = snapshot_may_write(parent->snapshot);

	if (r < 0)
		return r;
	if (snapshot_is_encrypted(parent->snapshot)) {
		r = snapshot_write_dek(parent->snapshot, &dek);
		if (r < 0)
			return r;
	}
	r = name_encode(parent, name, &backing);
	if (r < 0)
		return r;
	file = file_new(parent, backing.text);
	if (!file)
		return -ENOMEM;
	file->dek = TAKE(dek);
	r = name_prepare(parent, &backing);
	if (r < 0)
		return r;
	r = create_below(parent, backing.text, mode, file);
	if (r < 0) {
		/* The sidecar of an existing name is that name's. */
		if (r != -EEXIST)
			name_forget(parent, &backing);
		return r;
	}
	file->needs_entry_sync = true;
	file->is_writable = true;
	registry_add(file);
	*ret_backing = backing;
	*ret_file = TAKE(file);
	return 0;
}

int file_create_control(const struct place *parent, const char *backing, struct dek *dek,
			struct file **ret_file)
{
	CLEANUP(file_cleanup) struct file *file = file_new(parent, backing);
	int r;

	if (!file)
		return -ENOMEM;
	file->dek = dek_ref(dek);
	file->is_control = true;
	r = create_below(parent, backing, 0600, file);
	if (r < 0)
		return r;
	file->needs_entry_sync = true;
	file->is_writable = true;
	registry_add(file);
	*ret_file = TAKE(file);
	return 0;
}

/* ---- open ------------------------------------------------------------------------------------- */

/* A file to be truncated has no header: it becomes a new object. */
static int replace_headerless(struct file *file, struct dek *dek)
{
	file->dek = dek_ref(dek);
	int r = write_new_header(file);

	if (r == 0 && ftruncate(file->fd, LAYOUT_EMPTY_FILE_SIZE) < 0)
		r = -errno;
	return r;
}

/* Truncation, and with a single link the move to the snapshot's own DEK. */
static int truncate_opened(const struct place *parent, const char *backing, struct file *file,
			   bool has_header)
{
	const struct xattr_target target = { parent, backing, S_IFREG };
	CLEANUP(dek_cleanup) struct dek *own = NULL;
	CLEANUP(dek_cleanup) struct dek *current = NULL;
	struct stat st;
	int r = snapshot_write_dek(parent->snapshot, &own);

	if (r < 0)
		return r;
	if (!has_header)
		return replace_headerless(file, own);
	if (fstat(file->fd, &st) < 0)
		return -errno;
	bool is_moving = st.st_nlink == 1 && !uuid_equal(dek_id(own), &file->header.dek);

	r = store_dek_for_write(file->store, &file->header.dek, &current);
	if (r < 0 && !(r == -EACCES && is_moving))
		return r;
	if (!is_moving)
		return clear_locked(file, NULL);
	/* Nothing may be written under the DEK that is being left if it is not trusted. */
	if (r == -EACCES)
		set_covered(file, 0);

	const struct uuid from = file->header.dek;

	r = xattr_rekey(&target, &from, dek_id(own));
	if (r == 0)
		r = clear_locked(file, own);
	if (r == 0)
		file_write_index(file->fd, dek_id(own));
	return r;
}

static void take_history(struct file *file, const struct file_history *history)
{
	if (history && history->is_known && history->covered_size == 0)
		set_covered(file, 0);
	else
		set_covered(file, file->size);
}

static int load_opened(const struct place *parent, const char *backing,
		       const struct file_open_options *options, const struct stat *st,
		       struct file *file)
{
	int r = file_load(file, options, st);
	bool has_header = r != -ENODATA;

	if (r < 0 && has_header)
		return r;
	file->is_writable = options->access == FILE_WRITE;
	if (has_header)
		take_history(file, options->history);
	if (options->is_truncating)
		return truncate_opened(parent, backing, file, has_header);
	return 0;
}

static int check_options(const struct place *parent, const struct file_open_options *options)
{
	if (options->is_truncating && options->access != FILE_WRITE)
		return -EINVAL;
	return options->access == FILE_WRITE ? snapshot_may_write(parent->snapshot) : 0;
}

int file_open(const struct place *parent, const char *backing,
	      const struct file_open_options *options, struct file **ret_file)
{
	CLEANUP(file_cleanup) struct file *file = NULL;
	struct stat st;
	int r = check_options(parent, options);

	if (r < 0)
		return r;
	file = file_new(parent, backing);
	if (!file)
		return -ENOMEM;
	file->expected = options->sealed;
	file->fd = open_below(parent, backing, options->access);
	if (file->fd < 0) {
		file->expected = NULL;
		return file->fd;
	}
	r = check_object(file->fd, options->expected, &st);
	if (r < 0) {
		file->expected = NULL;
		return r;
	}
	if (file->is_encrypted)
		r = load_opened(parent, backing, options, &st, file);
	else if (options->is_truncating && ftruncate(file->fd, 0) < 0)
		r = -errno;
	if (r < 0) {
		/* The caller's until it has a file. */
		file->expected = NULL;
		return r;
	}
	if (!file->is_encrypted)
		file->is_writable = options->access == FILE_WRITE;
	registry_add(file);
	*ret_file = TAKE(file);
	return 0;
}

/* ---- while open ------------------------------------------------------------------------------- */

int file_moved(struct file *file, const char *path)
{
	char *copy = strdup(path);
	int r = 0;

	if (!copy)
		return -ENOMEM;
	pthread_rwlock_wrlock(&file->lock);
	/* Live records name the old path. */
	r = retire(file);
	free(file->path);
	file->path = copy;
	pthread_rwlock_unlock(&file->lock);
	return r;
}

static int reopen_writable(struct file *file, int fd)
{
	struct stat own;
	struct stat st;

	if (fstat(file->fd, &own) < 0)
		return -errno;
	int r = check_object(fd, &own, &st);

	/* The number stays: whoever has asked for it may go on using it. */
	if (r == 0 && dup3(fd, file->fd, O_CLOEXEC) < 0)
		r = -errno;
	return r;
}

int file_make_writable(const struct place *parent, const char *backing, struct file *file)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	int r = snapshot_may_write(parent->snapshot);

	if (r == 0 && file->is_encrypted)
		r = store_dek_for_write(file->store, &file->header.dek, &dek);
	if (r < 0)
		return r;

	int fd = open_below(parent, backing, FILE_WRITE);

	if (fd < 0)
		return fd;
	pthread_rwlock_wrlock(&file->lock);
	if (!file->is_writable) {
		r = reopen_writable(file, fd);
		if (r == 0 && file->is_encrypted)
			r = tail_load(file);
		if (r == 0)
			file->is_writable = true;
	}
	pthread_rwlock_unlock(&file->lock);
	close(fd);
	return r;
}

int file_renew_key(struct file *file)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct aead_key *key = NULL;
	int r = 0;

	pthread_rwlock_wrlock(&file->lock);
	if (dek_is_wiped(file->dek)) {
		r = file->is_writable ? store_dek_for_write(file->store, &file->header.dek, &dek)
				      : store_dek(file->store, &file->header.dek, &dek);
		if (r == 0)
			r = header_key(&file->header, dek, &key);
		if (r == 0) {
			dek_put(file->dek);
			aead_key_free(file->key);
			file->dek = TAKE(dek);
			file->key = key;
		}
	}
	pthread_rwlock_unlock(&file->lock);
	return r;
}

/* ---- close ------------------------------------------------------------------------------------ */

int file_close(struct file *file, struct file_history *ret_history)
{
	if (!file)
		return 0;

	int queued = queue_drain(file);

	registry_remove(file);
	pthread_rwlock_wrlock(&file->lock);
	/* The next one to open the file must find it without live records. */
	int r = retire(file);

	tags_end(file);
	if (ret_history)
		*ret_history = (struct file_history){
			.is_known = file->failure == 0,
			.covered_size = file->covered_size,
		};
	if (r == 0)
		r = file->failure;
	pthread_rwlock_unlock(&file->lock);
	file_put(file);
	return r < 0 ? r : queued;
}

uint64_t file_size(struct file *file)
{
	struct stat st;

	if (file->is_encrypted)
		return file->size;
	return fstat(file->fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

int file_fd(const struct file *file)
{
	return file->fd;
}

const struct uuid *file_dek_id(const struct file *file)
{
	return &file->header.dek;
}

const uint8_t *file_object_id(const struct file *file)
{
	return file->is_encrypted ? file->header.object_id : NULL;
}
