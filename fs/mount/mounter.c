/* SPDX-License-Identifier: Apache-2.0 */
/* The process that mounts and unmounts.  One request at a time over a socket pair, the device's descriptor beside it. */
#include "fs/mount/mounter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/mount/mountinfo.h"
#include "fs/mount/privileges.h"

#define OPTIONS_SIZE 1024

struct request {
	bool is_mount;
	unsigned long flags;
	char device[32];
	char source[PATH_MAX];
	char mountpoint[PATH_MAX];
	char options[OPTIONS_SIZE];
};

struct mounter {
	int socket;
	pid_t pid;
};

/* ---- In the process -------------------------------------------------------------------------- */

static int receive(int socket, struct request *request, int *ret_fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { .iov_base = request, .iov_len = sizeof(*request) };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	*ret_fd = -1;
	if (header && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(header), sizeof(int));
	return got == (ssize_t)sizeof(*request) ? 0 : -EPIPE;
}

static int do_mount(const struct request *request, int fd)
{
	char options[OPTIONS_SIZE + 32];

	snprintf(options, sizeof(options), "fd=%d,%s", fd, request->options);
	return mount(request->source, request->mountpoint, MOUNT_TYPE, request->flags, options) < 0
		       ? -errno
		       : 0;
}

static int do_unmount(const struct request *request)
{
	struct mountinfo entry;
	int r = mountinfo_find(request->mountpoint, &entry);

	if (r < 0)
		return r;
	/* Something else may have been mounted there since. */
	if (!mountinfo_is_ours(&entry) ||
	    (*request->device && strcmp(request->device, entry.device) != 0))
		return -EINVAL;
	return umount2(request->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

_Noreturn static void serve(int socket)
{
	struct request request;
	int fd = -1;

	while (receive(socket, &request, &fd) == 0) {
		int outcome = request.is_mount ? do_mount(&request, fd) : do_unmount(&request);

		if (fd >= 0)
			close(fd);
		if (send(socket, &outcome, sizeof(outcome), MSG_NOSIGNAL) !=
		    (ssize_t)sizeof(outcome))
			break;
	}
	_exit(0);
}

_Noreturn static void run(int socket)
{
	const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1 };

	/* A service manager signals every process of a unit: the daemon decides when this one is needed. */
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	prctl(PR_SET_NAME, "snapcrypt-mount");
	/* Whoever has started the mount may be reading its output to the end. */
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(1);
	if (dup2(socket, STDIN_FILENO) < 0 || syscall(SYS_close_range, 3U, ~0U, 0U) < 0)
		_exit(1);
	if (privileges_keep_mounting() < 0)
		_exit(1);
	serve(STDIN_FILENO);
}

/* ---- In the daemon --------------------------------------------------------------------------- */

int mounter_start(struct mounter **ret_mounter)
{
	struct mounter *mounter = calloc(1, sizeof(*mounter));
	int sockets[2];

	if (!mounter)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
		free(mounter);
		return -errno;
	}
	mounter->pid = fork();
	if (mounter->pid == 0) {
		close(sockets[0]);
		run(sockets[1]);
	}
	close(sockets[1]);
	mounter->socket = sockets[0];
	if (mounter->pid < 0) {
		close(sockets[0]);
		free(mounter);
		return -EAGAIN;
	}
	*ret_mounter = mounter;
	return 0;
}

void mounter_stop(struct mounter *mounter)
{
	if (!mounter)
		return;
	close(mounter->socket);
	while (waitpid(mounter->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(mounter);
}

static int ask(struct mounter *mounter, const struct request *request, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { .iov_base = (void *)(uintptr_t)request, .iov_len = sizeof(*request) };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
	int outcome = -EPIPE;

	if (fd >= 0) {
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);

		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(int));
	}
	if (sendmsg(mounter->socket, &message, MSG_NOSIGNAL) < 0)
		return -errno;
	return recv(mounter->socket, &outcome, sizeof(outcome), 0) == (ssize_t)sizeof(outcome)
		       ? outcome
		       : -EPIPE;
}

static int fill(char *to, size_t size, const char *from)
{
	int written = snprintf(to, size, "%s", from);

	return written < 0 || (size_t)written >= size ? -ENAMETOOLONG : 0;
}

int mounter_mount(struct mounter *mounter, const struct mounter_mount *mount, int *ret_fd)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		return -ENOMEM;
	request->is_mount = true;
	request->flags = mount->flags;
	int r = fill(request->source, sizeof(request->source), mount->source);

	if (r == 0)
		r = fill(request->mountpoint, sizeof(request->mountpoint), mount->mountpoint);
	if (r == 0)
		r = fill(request->options, sizeof(request->options), mount->options);
	int fd = r == 0 ? open("/dev/fuse", O_RDWR | O_CLOEXEC) : -1;

	if (r == 0)
		r = fd < 0 ? -errno : ask(mounter, request, fd);
	free(request);
	if (r < 0) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int mounter_unmount(struct mounter *mounter, const char *mountpoint, const char *device)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		return -ENOMEM;
	int r = fill(request->mountpoint, sizeof(request->mountpoint), mountpoint);

	if (r == 0)
		r = fill(request->device, sizeof(request->device), device ? device : "");
	if (r == 0)
		r = ask(mounter, request, -1);
	free(request);
	return r;
}
