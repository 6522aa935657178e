/* SPDX-License-Identifier: Apache-2.0 */
/* As whom the daemon acts: setfsuid(2) and setfsgid(2) are per thread, and so is the umask after unshare(CLONE_FS). */
#include "fs/mount/credentials.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A thread that leaves fsuid 0 loses these from its effective set.  The kernel has checked the caller's permissions in the mount,
 * by groups that are not known here, so the daemon must not be stopped by the same modes below.
 */
static void raise_search(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return;
	data[0].effective |= (1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH) &
			     data[0].permitted;
	(void)syscall(SYS_capset, &header, data);
}

struct credentials credentials_assume(const struct fuse_ctx *ctx)
{
	struct credentials credentials = { 0 };

	umask(ctx->umask);
	if ((!ctx->uid && !ctx->gid) || geteuid() != 0)
		return credentials;
	credentials.is_switched = true;
	setfsgid(ctx->gid);
	if (ctx->uid) {
		setfsuid(ctx->uid);
		raise_search();
	}
	return credentials;
}

void credentials_restore(struct credentials *credentials)
{
	int saved_errno = errno;

	if (credentials->is_switched) {
		setfsuid(0);
		setfsgid(getegid());
		credentials->is_switched = false;
	}
	umask(0);
	errno = saved_errno;
}
