/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of the mount: each unpacks a request, calls the engine and answers. */
#ifndef SNAPCRYPT_FS_MOUNT_OPS_H
#define SNAPCRYPT_FS_MOUNT_OPS_H

#include "fs/mount/scope.h"

/* ops_lookup.c */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t id, uint64_t count);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_readlink(fuse_req_t req, fuse_ino_t id);
void op_statfs(fuse_req_t req, fuse_ino_t id);

/* Fill ENTRY for the object BACKING of SCOPE's directory and count the lookup.  RET_NODE may be NULL. */
MUST_CHECK int ops_entry(const struct scope *scope, const char *backing,
			 struct fuse_entry_param *ret_entry, struct node **ret_node);
/* The same when NAME is known: right after it was made. */
MUST_CHECK int ops_entry_by_name(const struct scope *scope, const char *name,
				 struct fuse_entry_param *ret_entry);

/* ops_attr.c */
void op_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info);
void op_setattr(fuse_req_t req, fuse_ino_t id, struct stat *attr, int valid,
		struct fuse_file_info *info);

/* ops_dir.c */
void op_opendir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info);
void op_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
		struct fuse_file_info *info);
void op_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
		    struct fuse_file_info *info);
void op_releasedir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info);
void op_fsyncdir(fuse_req_t req, fuse_ino_t id, int is_data_only, struct fuse_file_info *info);

/* ops_namespace.c, ops_rename.c */
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t new_parent, const char *new_name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
	       const char *new_name, unsigned flags);

/* ops_file.c */
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *info);
void op_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info);
void op_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info);
void op_flush(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *info);
void op_fsync(fuse_req_t req, fuse_ino_t id, int is_data_only, struct fuse_file_info *info);
void op_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t offset, off_t size,
		  struct fuse_file_info *info);
void op_lseek(fuse_req_t req, fuse_ino_t id, off_t offset, int whence, struct fuse_file_info *info);

/* ops_data.c */
void op_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset, struct fuse_file_info *info);
void op_write(fuse_req_t req, fuse_ino_t id, const char *data, size_t size, off_t offset,
	      struct fuse_file_info *info);

/* ops_xattr.c */
void op_setxattr(fuse_req_t req, fuse_ino_t id, const char *name, const char *value, size_t size,
		 int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t id, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t id, const char *name);
/* security.capability of the file OPEN, which is written to: it does not survive that. */
MUST_CHECK int ops_drop_capability(struct mount *mount, struct open_file *open);

/* The threads have ended: close what the kernel still has open.  The first error. */
MUST_CHECK int ops_close_handles(struct mount *mount);
void ops_free_directories(struct mount *mount);

/* The handle of an open file, used: OPEN->lock held, content there; re-opened if its key came back.  open_file_done() ends it. */
MUST_CHECK int handle_use(struct mount *mount, const struct handle *handle);

#endif
