/* SPDX-License-Identifier: Apache-2.0 */
/* Open files: create, open, release, flush, fsync, fallocate, lseek. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount/credentials.h"
#include "fs/mount/ops.h"
#include "fs/mount/reply.h"
#include "fs/mount/sealed.h"
#include "fs/store/entry.h"

static struct handle *handle_of(const struct fuse_file_info *info)
{
	return (struct handle *)(uintptr_t)info->fh;
}

static bool is_for_writing(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

/*
 * How the kernel treats this handle.  A handle that only writes goes past the page cache while nobody else has the file in it;
 * the pages of an earlier open may stay if nothing was written since.
 */
static void choose_caching(struct handle *handle, struct fuse_file_info *info)
{
	struct open_file *open = handle->open;

	handle->is_writable = is_for_writing(info->flags);
	handle->withdrawals = open->withdrawals;
	handle->is_cached = (info->flags & O_ACCMODE) != O_WRONLY || open->cached_handles > 0;
	info->direct_io = !handle->is_cached;
	info->noflush = !handle->is_writable;
	if (handle->is_cached) {
		open->cached_handles++;
		info->keep_cache = node_has(open->node, NODE_IS_CACHE_VALID) &&
				   !(info->flags & O_TRUNC);
		node_set(open->node, NODE_IS_CACHE_VALID);
	}
}

/* The pin of OPEN becomes the handle's.  All handles are known, for those that are still open when the mount ends. */
static int make_handle(struct mount *mount, struct open_file *open, struct fuse_file_info *info)
{
	struct handle *handle = calloc(1, sizeof(*handle));

	if (!handle)
		return -ENOMEM;
	handle->open = open;
	choose_caching(handle, info);
	pthread_mutex_lock(&mount->handles_lock);
	handle->next = mount->handles;
	if (handle->next)
		handle->next->previous = handle;
	mount->handles = handle;
	pthread_mutex_unlock(&mount->handles_lock);
	info->fh = (uintptr_t)handle;
	return 0;
}

static int close_handle(struct mount *mount, struct handle *handle)
{
	if (handle->is_cached)
		handle->open->cached_handles--;
	pthread_mutex_lock(&mount->handles_lock);
	*(handle->previous ? &handle->previous->next : &mount->handles) = handle->next;
	if (handle->next)
		handle->next->previous = handle->previous;
	pthread_mutex_unlock(&mount->handles_lock);
	int r = open_file_unpin(mount->files, handle->open);

	free(handle);
	return r;
}

int ops_close_handles(struct mount *mount)
{
	int first = 0;

	while (mount->handles) {
		int r = close_handle(mount, mount->handles);

		if (first == 0)
			first = r;
	}
	return first;
}

static int open_content(const struct scope *scope, struct open_file *open, int flags)
{
	if (scope->sealed)
		return is_for_writing(flags) ? -EROFS : sealed_open(scope, open);

	const struct open_file_where where = { .parent = &scope->place, .backing = scope->backing };
	bool is_truncating = (flags & O_TRUNC) && is_for_writing(flags);
	int r = open_file_open(scope->mount->files, open, &where,
			       is_for_writing(flags) ? FILE_WRITE : FILE_READ, is_truncating);

	if (r == 0 && is_truncating)
		node_clear(open->node, NODE_IS_CACHE_VALID);
	return r;
}

static int open_located(const struct scope *scope, struct fuse_file_info *info)
{
	struct mount *mount = scope->mount;
	struct open_file *open = open_file_pin(mount->files, scope->node);

	if (!open)
		return -ENOMEM;
	int r = open_content(scope, open, info->flags);

	if (r == 0)
		r = make_handle(mount, open, info);
	if (r < 0)
		(void)open_file_unpin(mount->files, open);
	return r;
}

static int open_node(struct mount *mount, fuse_ino_t id, struct fuse_file_info *info)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_locate(&scope, mount, id);

	return r < 0 ? r : open_located(&scope, info);
}

/* A file without a name is opened again through /proc/PID/fd: only what is open already can serve that. */
static int open_unnamed(struct mount *mount, fuse_ino_t id, struct fuse_file_info *info)
{
	struct node *node = nodes_find(mount->nodes, id);
	struct open_file *open = node ? open_file_find(mount->files, node) : NULL;

	if (!open)
		return -ESTALE;
	int r = open_file_use(open);

	if (r == 0) {
		r = is_for_writing(info->flags) && !open->is_writable ? -ESTALE : 0;
		if (r == 0 && (info->flags & O_TRUNC) && is_for_writing(info->flags))
			r = file_truncate(open->file, 0);
		open_file_done(open);
	}
	if (r == 0)
		r = make_handle(mount, open, info);
	if (r < 0)
		(void)open_file_unpin(mount->files, open);
	return r;
}

void op_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);
	int r = open_node(mount, id, info);

	if (r == -ENOENT)
		r = open_unnamed(mount, id, info);
	if (r < 0) {
		reply_failure(req, r, nodes_find(mount->nodes, id));
		return;
	}
	/* The caller was interrupted and will send no release. */
	if (fuse_reply_open(req, info) == -ENOENT)
		(void)close_handle(mount, handle_of(info));
}

static int create_open(const struct scope *scope, struct node *node, struct file *file,
		       struct fuse_file_info *info)
{
	struct mount *mount = scope->mount;
	struct open_file *open = open_file_pin(mount->files, node);

	if (!open) {
		(void)file_close(file, NULL);
		return -ENOMEM;
	}
	int r = open_file_adopt(mount->files, open, file);

	open->has_no_special_bits = true;
	if (r == 0)
		r = make_handle(mount, open, info);
	if (r < 0)
		(void)open_file_unpin(mount->files, open);
	return r;
}

static int create_entry(const struct scope *scope, const char *backing, struct file *file,
			struct fuse_entry_param *ret_entry, struct node **ret_node)
{
	int r = ops_entry(scope, backing, ret_entry, ret_node);

	if (r < 0)
		(void)file_close(file, NULL);
	return r;
}

static int create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		  struct fuse_file_info *info, struct fuse_entry_param *ret_entry)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	struct mount *mount = mount_of(req);
	struct backing_name backing;
	struct file *file = NULL;
	struct node *node = NULL;
	int r = scope_enter(&scope, mount, parent);

	if (r == 0)
		r = scope_may_change(&scope);
	if (r < 0)
		return r;
	struct credentials as = credentials_assume(fuse_req_ctx(req));

	r = file_create(&scope.place, name, mode, &backing, &file);
	credentials_restore(&as);
	if (r == 0)
		r = create_entry(&scope, backing.text, file, ret_entry, &node);
	if (r < 0)
		return r;
	node_set(node, NODE_HAS_NO_CAPABILITY);
	r = create_open(&scope, node, file, info);
	if (r < 0)
		nodes_forget(mount->nodes, node->id, 1);
	return r;
}

/* The kernel believed that there was none, but there is: then this is an open. */
static int open_existing(struct mount *mount, fuse_ino_t parent, const char *name,
			 struct fuse_file_info *info, struct fuse_entry_param *ret_entry)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_enter(&scope, mount, parent);
	struct backing_name backing;
	struct node *node = NULL;

	if (r == 0)
		r = name_encode(&scope.place, name, &backing);
	if (r == 0)
		r = ops_entry(&scope, backing.text, ret_entry, &node);
	if (r < 0)
		return r;
	scope.node = node;
	memcpy(scope.backing, backing.text, sizeof(scope.backing));
	r = node_type(node) == S_IFREG ? open_located(&scope, info) : -EEXIST;
	if (r < 0)
		nodes_forget(mount->nodes, node->id, 1);
	return r;
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);
	struct fuse_entry_param entry;
	int r = create(req, parent, name, mode, info, &entry);

	if (r == -EEXIST && !(info->flags & O_EXCL))
		r = open_existing(mount, parent, name, info, &entry);
	if (r < 0) {
		reply_failure(req, r, nodes_find(mount->nodes, parent));
		return;
	}
	if (fuse_reply_create(req, &entry, info) == -ENOENT) {
		(void)close_handle(mount, handle_of(info));
		nodes_forget(mount->nodes, entry.ino, 1);
	}
}

void op_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);
	int r = close_handle(mount, handle_of(info));

	/* Nobody hears of it: close(2) has returned long ago, after a flush that was good. */
	if (r < 0)
		reply_log(mount, r, nodes_find(mount->nodes, id), "release");
	fuse_reply_err(req, 0);
}

/* Open again what was closed with its key, now that the key may be back. */
static int reopen(struct mount *mount, struct open_file *open)
{
	CLEANUP(scope_leave) struct scope scope = SCOPE_NONE;
	int r = scope_locate(&scope, mount, open->node->id);

	return r < 0 ? r : open_content(&scope, open, O_RDONLY);
}

int handle_use(struct mount *mount, const struct handle *handle)
{
	struct open_file *open = handle->open;

	for (;;) {
		/* What a writer had in hand when its key went may be lost: it must not go on as if nothing was. */
		if (handle->is_writable && handle->withdrawals != open->withdrawals)
			return open->withdrawn_error;
		int r = open_file_use(open);

		if (r != -EUNATCH)
			return r;
		r = reopen(mount, open);
		if (r < 0)
			return r;
	}
}

static int flush(struct mount *mount, const struct handle *handle)
{
	int r = handle_use(mount, handle);

	if (r < 0)
		return r;
	if (open_file_is_busy(mount->files, handle->open))
		loop_expect_delay();
	r = open_file_flush(mount->files, handle->open);
	open_file_done(handle->open);
	return r;
}

void op_flush(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);
	const struct handle *handle = handle_of(info);

	reply_result(req, handle->is_writable ? flush(mount, handle) : 0,
		     nodes_find(mount->nodes, id));
}

static int sync_file(struct mount *mount, const struct handle *handle, bool is_data_only)
{
	int r = handle_use(mount, handle);

	if (r < 0)
		return r;
	loop_expect_delay();
	uint64_t written = handle->open->written;

	r = open_file_settle(mount->files, handle->open);
	if (r == 0)
		r = file_sync(handle->open->file, is_data_only);
	if (r == 0)
		open_file_note_flushed(handle->open, written);
	open_file_done(handle->open);
	return r;
}

void op_fsync(fuse_req_t req, fuse_ino_t id, int is_data_only, struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);

	reply_result(req, sync_file(mount, handle_of(info), is_data_only != 0),
		     nodes_find(mount->nodes, id));
}

static int allocate(struct mount *mount, const struct handle *handle, int mode, off_t offset,
		    off_t size)
{
	int r = handle_use(mount, handle);

	if (r < 0)
		return r;
	loop_expect_delay();
	r = open_file_settle(mount->files, handle->open);
	if (r == 0)
		r = file_allocate(handle->open->file, mode, (uint64_t)offset, (uint64_t)size);
	handle->open->written++;
	node_clear(handle->open->node, NODE_IS_CACHE_VALID);
	open_file_done(handle->open);
	return r;
}

void op_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t offset, off_t size,
		  struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);
	const struct handle *handle = handle_of(info);
	int r = allocate(mount, handle, mode, offset, size);

	/* The kernel drops the pages of the range by itself when it is a cached handle. */
	if (r == 0 && !handle->is_cached && handle->open->cached_handles > 0)
		notifier_inode(mount->notifier, id, offset, size);
	reply_result(req, r, nodes_find(mount->nodes, id));
}

static int seek(struct mount *mount, const struct handle *handle, off_t offset, int whence,
		uint64_t *ret_offset)
{
	int r = handle_use(mount, handle);

	if (r < 0)
		return r;
	r = open_file_settle(mount->files, handle->open);
	if (r == 0)
		r = file_seek(handle->open->file, (uint64_t)offset, whence, ret_offset);
	open_file_done(handle->open);
	return r;
}

void op_lseek(fuse_req_t req, fuse_ino_t id, off_t offset, int whence, struct fuse_file_info *info)
{
	struct mount *mount = mount_of(req);
	uint64_t found = 0;
	int r = seek(mount, handle_of(info), offset, whence, &found);

	if (r < 0)
		reply_failure(req, r, nodes_find(mount->nodes, id));
	else
		fuse_reply_lseek(req, (off_t)found);
}
