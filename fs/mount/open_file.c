/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are open in this mount: pins, opening, closing. */
#include "fs/mount/open_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount/attr.h"
#include "fs/mount/open_files.h"

/* Writing this much takes longer than waking another thread. */
#define LONG_QUEUE ((size_t)1 << 20)

int open_files_create(struct nodes *nodes, struct write_queue *queue, struct open_files **ret_files)
{
	struct open_files *files = calloc(1, sizeof(*files));

	if (!files)
		return -ENOMEM;
	pthread_mutex_init(&files->lock, NULL);
	files->nodes = nodes;
	files->queue = queue;
	*ret_files = files;
	return 0;
}

void open_files_free(struct open_files *files)
{
	if (!files)
		return;
	pthread_mutex_destroy(&files->lock);
	free(files->deks);
	free(files);
}

size_t open_files_count(struct open_files *files)
{
	pthread_mutex_lock(&files->lock);
	size_t count = files->count;

	pthread_mutex_unlock(&files->lock);
	return count;
}

static struct open_file *open_file_new(struct open_files *files, struct node *node)
{
	struct open_file *open = calloc(1, sizeof(*open));
	pthread_rwlockattr_t attributes;

	if (!open)
		return NULL;
	/* Or a stream of reads keeps a revocation waiting for ever. */
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&open->lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	open->node = node;
	open->next = files->first;
	if (files->first)
		files->first->previous = open;
	files->first = open;
	files->count++;
	node->file = open;
	nodes_hold(files->nodes, node);
	return open;
}

struct open_file *open_file_pin(struct open_files *files, struct node *node)
{
	pthread_mutex_lock(&files->lock);
	struct open_file *open = node->file ? node->file : open_file_new(files, node);

	if (open)
		open->pins++;
	pthread_mutex_unlock(&files->lock);
	return open;
}

struct open_file *open_file_find(struct open_files *files, struct node *node)
{
	if (node_type(node) != S_IFREG)
		return NULL;
	pthread_mutex_lock(&files->lock);
	struct open_file *open = node->file;

	if (open)
		open->pins++;
	pthread_mutex_unlock(&files->lock);
	return open;
}

static int close_file(struct open_file *open)
{
	struct file_history history = { 0 };
	int r = 0;

	pthread_rwlock_wrlock(&open->lock);
	if (open->file) {
		r = file_close(TAKE(open->file), &history);
		open->is_writable = false;
		open->is_sealed = false;
		if (!node_has(open->node, NODE_IS_SEALED))
			open->node->covered_size = history.covered_size;
		if (history.is_known)
			node_set(open->node, NODE_HAS_COVERED_SIZE);
		else
			node_clear(open->node, NODE_HAS_COVERED_SIZE);
	}
	pthread_rwlock_unlock(&open->lock);
	return r;
}

static void forget_locked(struct open_files *files, struct open_file *open)
{
	*(open->previous ? &open->previous->next : &files->first) = open->next;
	if (open->next)
		open->next->previous = open->previous;
	files->count--;
	open->node->file = NULL;
}

int open_file_unpin(struct open_files *files, struct open_file *open)
{
	if (!open)
		return 0;
	pthread_mutex_lock(&files->lock);
	bool is_last = open->pins == 1;

	if (!is_last)
		open->pins--;
	pthread_mutex_unlock(&files->lock);
	if (!is_last)
		return 0;

	/* Still pinned by us: who comes now shares this one and opens again, so that no inode is ever open twice. */
	int wait = write_queue_settle_closing(files, open);
	int r = close_file(open);

	pthread_mutex_lock(&files->lock);
	bool is_unused = --open->pins == 0;

	if (is_unused)
		forget_locked(files, open);
	pthread_mutex_unlock(&files->lock);
	if (is_unused) {
		struct node *node = open->node;

		pthread_rwlock_destroy(&open->lock);
		free(open);
		nodes_release(files->nodes, node);
	}
	return wait < 0 ? wait : r;
}

uint16_t open_files_number_locked(struct open_files *files, const struct uuid *dek_id)
{
	for (size_t i = 0; i < files->dek_count; i++) {
		if (uuid_equal(&files->deks[i].id, dek_id))
			return (uint16_t)(i + 1);
	}
	/* So many keys in one mount's life: the rest shares a number, and forgets its pages together. */
	if (files->dek_count == UINT16_MAX - 1)
		return UINT16_MAX;
	struct open_files_dek *deks = reallocarray(files->deks, files->dek_count + 1,
						   sizeof(*deks));

	if (!deks)
		return UINT16_MAX;
	files->deks = deks;
	files->deks[files->dek_count++] = (struct open_files_dek){ .id = *dek_id };
	return (uint16_t)files->dek_count;
}

uint16_t open_files_dek_number(struct open_files *files, const struct uuid *dek_id)
{
	pthread_mutex_lock(&files->lock);
	uint16_t number = open_files_number_locked(files, dek_id);

	pthread_mutex_unlock(&files->lock);
	return number;
}

/* Remember under which DEK the pages of this node are.  The error of a DEK that is being withdrawn. */
static int note_dek(struct open_files *files, struct open_file *open, const struct file *file)
{
	const struct uuid *dek_id = file_dek_id(file);
	int r = 0;

	if (!dek_id || uuid_is_zero(dek_id))
		return 0;
	pthread_mutex_lock(&files->lock);
	uint16_t number = open_files_number_locked(files, dek_id);

	if (number <= files->dek_count)
		r = files->deks[number - 1].refused;
	open->node->dek = number;
	pthread_mutex_unlock(&files->lock);
	return r;
}

int open_file_adopt(struct open_files *files, struct open_file *open, struct file *file)
{
	pthread_rwlock_wrlock(&open->lock);
	int r = note_dek(files, open, file);

	if (r == 0) {
		open->file = file;
		open->is_writable = true;
	}
	pthread_rwlock_unlock(&open->lock);
	if (r < 0)
		(void)file_close(file, NULL);
	return r;
}

/* The engine has opened what is at the name now; only here it is known which inode the kernel means. */
static int verify_identity(const struct open_file *open, struct file *file)
{
	struct attr attr;
	int r;

	/* It is what its manifest says, whatever its number. */
	if (node_has(open->node, NODE_IS_SEALED))
		return 0;
	r = attr_read_fd(file_fd(file), &attr);
	if (r < 0)
		return r;
	return attr.identity.inode == open->node->identity.inode &&
			       attr.identity.birth_ns == open->node->identity.birth_ns
		       ? 0
		       : -ESTALE;
}

static int open_below(const struct open_files *files, const struct open_file *open,
		      const struct open_file_where *where, enum file_access access,
		      bool is_truncating, struct file **ret_file)
{
	const struct file_history history = {
		.is_known = node_has(open->node, NODE_HAS_COVERED_SIZE),
		.covered_size = open->node->covered_size,
	};
	struct stat expected = { .st_ino = open->node->identity.inode };

	expected.st_dev = files->device;
	const struct file_open_options options = {
		.access = access,
		.is_truncating = is_truncating,
		.history = &history,
		.expected = &expected,
	};

	return file_open(where->parent, where->backing, &options, ret_file);
}

static int open_anew(struct open_files *files, struct open_file *open,
		     const struct open_file_where *where, enum file_access access,
		     bool is_truncating)
{
	struct file *file = NULL;
	int r;

	if (where->view)
		r = access == FILE_WRITE ? -EROFS
					 : sealed_file_open(where->view, where->parent,
							    where->backing, where->object, &file);
	else
		r = open_below(files, open, where, access, is_truncating, &file);
	if (r < 0)
		return r;
	r = verify_identity(open, file);
	if (r == 0)
		r = note_dek(files, open, file);
	if (r < 0) {
		(void)file_close(file, NULL);
		return r;
	}
	open->file = file;
	open->is_writable = access == FILE_WRITE;
	open->is_sealed = where->view != NULL;
	return 0;
}

int open_file_open(struct open_files *files, struct open_file *open,
		   const struct open_file_where *where, enum file_access access, bool is_truncating)
{
	int r = 0;

	pthread_rwlock_wrlock(&open->lock);
	if (!open->file) {
		r = open_anew(files, open, where, access, is_truncating);
		pthread_rwlock_unlock(&open->lock);
		return r;
	}
	r = open_file_settle(files, open);
	if (r == 0 && access == FILE_WRITE && !open->is_writable) {
		r = file_make_writable(where->parent, where->backing, open->file);
		open->is_writable = r == 0;
	}
	if (r == 0 && is_truncating) {
		r = file_truncate(open->file, 0);
		open->written++;
	}
	pthread_rwlock_unlock(&open->lock);
	return r;
}

int open_file_use(struct open_file *open)
{
	pthread_rwlock_rdlock(&open->lock);
	if (open->file)
		return 0;
	pthread_rwlock_unlock(&open->lock);
	return -EUNATCH;
}

void open_file_done(struct open_file *open)
{
	pthread_rwlock_unlock(&open->lock);
}

bool open_file_is_busy(struct open_files *files, const struct open_file *open)
{
	return open->submitted != open->settled && write_queue_bytes(files->queue) >= LONG_QUEUE;
}
