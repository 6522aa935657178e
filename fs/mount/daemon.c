/* SPDX-License-Identifier: Apache-2.0 */
/* Becoming a daemon. */
#include "fs/mount/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/mount/mounter.h"
#include "fs/mount/privileges.h"
#include "fs/mount/readiness.h"

/* Descriptors for directories, files and everything else; the kernel's table for so many takes half a MiB. */
#define DESCRIPTORS_MAX 65536

/* What the child tells the parent, followed by text. */
struct outcome {
	int code;
};

static int forbid_dumps(void)
{
	const struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

/*
 * In a process with threads each doubling of the descriptor table waits for an RCU grace period, up to 14 ms in the middle of an
 * open(2): so it gets its size now.
 */
static size_t grow_descriptor_table(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	int highest = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)limit.rlim_cur - 1);

	if (highest >= 0)
		close(highest);
	return (size_t)limit.rlim_cur;
}

static void block_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int exit_status(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return 1;
	}
	return WIFEXITED(status)     ? WEXITSTATUS(status)
	       : WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				     : 1;
}

/* The parent: print what the child has to say and end as it says.  Never returns. */
_Noreturn static void wait_for_outcome(int fd, pid_t child)
{
	struct outcome outcome;
	char text[PIPE_BUF];
	ssize_t got = 0;

	do {
		got = read(fd, &outcome, sizeof(outcome));
	} while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(outcome)) {
		int code = exit_status(child);

		_exit(code ? code : 1);
	}
	while ((got = read(fd, text, sizeof(text))) > 0) {
		if (write(STDERR_FILENO, text, (size_t)got) < 0)
			break;
	}
	_exit(outcome.code);
}

static int go_to_background(struct daemon *daemon)
{
	int pipe_fds[2];

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	fflush(NULL);
	pid_t child = fork();

	if (child < 0) {
		close(pipe_fds[0]);
		close(pipe_fds[1]);
		return -EAGAIN;
	}
	if (child > 0) {
		close(pipe_fds[1]);
		wait_for_outcome(pipe_fds[0], child);
	}
	close(pipe_fds[0]);
	daemon->report_fd = pipe_fds[1];
	setsid();
	return chdir("/") < 0 ? -errno : 0;
}

int daemon_start(struct daemon *daemon, bool is_foreground)
{
	*daemon = (struct daemon){ .report_fd = -1, .is_foreground = is_foreground };
	int r = forbid_dumps();

	if (r == 0 && !is_foreground)
		r = go_to_background(daemon);
	if (r < 0)
		return r;
	if (geteuid() == 0)
		r = mounter_start(&daemon->mounter);
	if (r < 0)
		return r;
	block_signals();
	daemon->descriptor_limit = grow_descriptor_table();
	return privileges_drop();
}

static void report(struct daemon *daemon, int code, const char *text)
{
	const struct outcome outcome = { .code = code };

	if (daemon->report_fd < 0)
		return;
	/* The parent may be gone; then nobody wants to know. */
	if (write(daemon->report_fd, &outcome, sizeof(outcome)) > 0 && *text &&
	    write(daemon->report_fd, text, strlen(text)) < 0)
		errno = 0;
	close(daemon->report_fd);
	daemon->report_fd = -1;
}

void daemon_ready(struct daemon *daemon)
{
	readiness_serving();
	if (daemon->is_foreground)
		return;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		close(null);
	}
	report(daemon, 0, "");
}

void daemon_failed(struct daemon *daemon, int code, const char *text)
{
	report(daemon, code, text);
}

void daemon_stopping(struct daemon *daemon)
{
	(void)daemon;
	readiness_stopping();
}

void daemon_free(struct daemon *daemon)
{
	mounter_stop(daemon->mounter);
	daemon->mounter = NULL;
	if (daemon->report_fd >= 0)
		close(daemon->report_fd);
	daemon->report_fd = -1;
}
