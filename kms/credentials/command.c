/* SPDX-License-Identifier: Apache-2.0 */
/* Run a credential command. */
#include "kms/credentials/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kms/credentials/child_environment.h"
#include "kms/crypto/secret.h"
#include "meta/words.h"

static int spawn(struct words *words, int output, pid_t *ret_pid)
{
	char **environment = child_environment();
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int r;

	if (!environment)
		return -ENOMEM;
	sigemptyset(&none);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output, 1);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	r = posix_spawnp(ret_pid, words->list[0], &actions, &attributes, words->list, environment);
	free(environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return -r;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int collect(int fd, int64_t deadline_ms, struct command_output *output)
{
	for (;;) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		int64_t left = deadline_ms - now_ms();
		ssize_t n;

		if (left <= 0 || poll(&poll_fd, 1, (int)left) == 0)
			return -ETIMEDOUT;
		if (output->size == COMMAND_OUTPUT_MAX)
			return -EFBIG;
		n = read(fd, output->data + output->size, COMMAND_OUTPUT_MAX - output->size);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0;
		if (n > 0)
			output->size += (size_t)n;
	}
}

/* Reap PID by the deadline, or kill it. */
static int reap(pid_t pid, int64_t deadline_ms, bool has_failed)
{
	int status = 0;

	while (!has_failed) {
		pid_t r = waitpid(pid, &status, WNOHANG);

		if (r == pid)
			return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
		if (now_ms() > deadline_ms)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return -ETIMEDOUT;
}

static int run(struct words *words, uint32_t timeout_ms, struct command_output *output)
{
	int64_t deadline_ms = now_ms() + timeout_ms;
	int pipe_fds[2];
	pid_t pid;
	int r, status;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	r = spawn(words, pipe_fds[1], &pid);
	close(pipe_fds[1]);
	if (r == 0) {
		r = collect(pipe_fds[0], deadline_ms, output);
		status = reap(pid, deadline_ms, r < 0);
		if (r == 0)
			r = status;
	}
	close(pipe_fds[0]);
	return r;
}

int command_run(const char *command, uint32_t timeout_ms, struct command_output *ret_output,
		struct kms_error *reterr)
{
	struct command_output output = { .data = secret_alloc(COMMAND_OUTPUT_MAX) };
	struct words words = { 0 };
	int r;

	r = output.data ? words_split(command, &words) : -ENOMEM;
	if (r == 0)
		r = run(&words, timeout_ms, &output);
	words_free(&words);
	if (r < 0) {
		command_output_free(&output);
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "credential command '%s': %s",
				command, r == -EIO ? "it failed" : strerror(-r));
	}
	*ret_output = output;
	return 0;
}

struct bytes command_first_line(const struct command_output *output)
{
	const uint8_t *end = memchr(output->data, '\n', output->size);

	return (struct bytes){ output->data, end ? (size_t)(end - output->data) : output->size };
}

void command_output_free(struct command_output *output)
{
	secret_free(output->data);
	*output = (struct command_output){ 0 };
}
