/* SPDX-License-Identifier: Apache-2.0 */
/* How operations fail. */
#include "fs/mount/reply.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "fs/mount/sealed.h"

#define REPEAT_S 5

int op_errno(int code)
{
	switch (-code) {
	case EBADMSG:
	case EPROTO:
	case EKEYREJECTED:
	case EUCLEAN:
	case EUNATCH:
		return EIO;
	default:
		return -code;
	}
}

/* Whether it says something about the volume or its keys, rather than about the request. */
static const char *finding(int code)
{
	static const struct {
		int code;
		const char *text;
	} findings[] = {
		{ EBADMSG, "not authentic" },
		{ EPROTO, "the key service answered something unreadable" },
		{ EKEYREJECTED, "its data key is not genuine" },
		{ EIO, "input/output error of the backing filesystem" },
		{ EKEYREVOKED, "its key is disabled or will be deleted" },
		{ ENOKEY, "its key is deleted or not known here" },
		{ EACCES, "access to its key is denied, or its data key is not trusted here" },
		{ EKEYEXPIRED, "the credentials for its key are missing or expired" },
		{ EHOSTUNREACH, "its key service cannot be reached" },
		{ ETIMEDOUT, "its key service did not answer in time" },
		{ ESTALE, "was exchanged behind the mount" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(findings); i++) {
		if (findings[i].code == -code)
			return findings[i].text;
	}
	return NULL;
}

/* One line for each kind and some seconds: a scan of a snapshot whose key is disabled fails once for every file. */
static bool is_repeated(int code)
{
	static _Atomic int64_t last_s[EHWPOISON + 1];
	struct timespec now;

	if (code == -EBADMSG || code == -EIO || code < -EHWPOISON)
		return false;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	int64_t now_s = (int64_t)now.tv_sec + REPEAT_S;

	if (now_s < last_s[-code] + REPEAT_S)
		return true;
	last_s[-code] = now_s;
	return false;
}

static void count(struct mount *mount, int code)
{
	if (code == -EBADMSG || code == -EKEYREJECTED)
		mount->authentication_failures++;
	else if (code == -EIO)
		mount->io_failures++;
}

/* Of content that is not authentic the engine has logged the block already. */
static bool is_about_content(void)
{
	const struct fuse_in_header *header = loop_request();

	if (!header)
		return false;
	switch (header->opcode) {
	case FUSE_OPEN:
	case FUSE_CREATE:
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_FLUSH:
	case FUSE_FSYNC:
	case FUSE_FALLOCATE:
	case FUSE_LSEEK:
	case FUSE_RELEASE:
		return true;
	default:
		return false;
	}
}

void reply_log(struct mount *mount, int code, const struct node *node, const char *what)
{
	const char *text = finding(code);

	if (!text)
		return;
	count(mount, code);
	if (code == -EBADMSG && node && node_has(node, NODE_IS_SEALED)) {
		sealed_report(mount, (struct node *)(uintptr_t)node, "tampered",
			      "what is below is not what was sealed");
		return;
	}
	if (is_repeated(code) || (code == -EBADMSG && is_about_content()))
		return;
	char *path = node ? nodes_path(mount->nodes, node, NULL, NULL) : NULL;

	store_report(mount->store, code == -EBADMSG || code == -EIO ? LOG_ERR : LOG_WARNING,
		     path ? path : "", "%s: %s", what, text);
	free(path);
}

static const char *operation_name(void)
{
	static const char *const names[] = {
		[FUSE_LOOKUP] = "lookup",
		[FUSE_GETATTR] = "getattr",
		[FUSE_SETATTR] = "setattr",
		[FUSE_READLINK] = "readlink",
		[FUSE_SYMLINK] = "symlink",
		[FUSE_MKNOD] = "mknod",
		[FUSE_MKDIR] = "mkdir",
		[FUSE_UNLINK] = "unlink",
		[FUSE_RMDIR] = "rmdir",
		[FUSE_RENAME] = "rename",
		[FUSE_LINK] = "link",
		[FUSE_OPEN] = "open",
		[FUSE_READ] = "read",
		[FUSE_WRITE] = "write",
		[FUSE_FSYNC] = "fsync",
		[FUSE_SETXATTR] = "setxattr",
		[FUSE_GETXATTR] = "getxattr",
		[FUSE_LISTXATTR] = "listxattr",
		[FUSE_FLUSH] = "close",
		[FUSE_OPENDIR] = "opendir",
		[FUSE_READDIR] = "readdir",
		[FUSE_CREATE] = "create",
		[FUSE_REMOVEXATTR] = "removexattr",
		[FUSE_FALLOCATE] = "fallocate",
		[FUSE_READDIRPLUS] = "readdir",
		[FUSE_RENAME2] = "rename",
		[FUSE_LSEEK] = "lseek",
	};
	const struct fuse_in_header *header = loop_request();

	if (!header || header->opcode >= ARRAY_SIZE(names) || !names[header->opcode])
		return "operation";
	return names[header->opcode];
}

void reply_failure(fuse_req_t req, int code, const struct node *node)
{
	struct mount *mount = mount_of(req);

	if (code == -EAGAIN) {
		park_request(mount->park, req, store_wanted_dek());
		return;
	}
	/* ENOENT and the like are answers, not failures. */
	reply_log(mount, code, node, operation_name());
	fuse_reply_err(req, op_errno(code));
}

void reply_result(fuse_req_t req, int code, const struct node *node)
{
	if (code < 0)
		reply_failure(req, code, node);
	else
		fuse_reply_err(req, 0);
}
