/* SPDX-License-Identifier: Apache-2.0 */
/* Names of control sockets, and lines on them. */
#include "fs/control/address.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void control_name(const struct uuid *volume, const struct uuid *mount,
		  char name[static CONTROL_NAME_SIZE])
{
	char volume_text[UUID_TEXT_SIZE];
	char mount_text[UUID_TEXT_SIZE];

	uuid_format(volume, volume_text);
	uuid_format(mount, mount_text);
	snprintf(name, CONTROL_NAME_SIZE, "%s-%s.sock", volume_text, mount_text);
}

int control_parse_name(const char *name, struct uuid *ret_volume, struct uuid *ret_mount)
{
	const size_t text_length = UUID_TEXT_SIZE - 1;
	char text[UUID_TEXT_SIZE];
	int r = 0;

	if (strlen(name) != 2 * text_length + strlen("-.sock") || name[text_length] != '-' ||
	    strcmp(name + 2 * text_length + 1, ".sock") != 0)
		return -EBADMSG;
	memcpy(text, name, text_length);
	text[text_length] = '\0';
	r = uuid_parse(text, ret_volume);
	if (r < 0)
		return r;
	memcpy(text, name + text_length + 1, text_length);
	return uuid_parse(text, ret_mount);
}

void control_address(int directory_fd, const char *name, struct sockaddr_un *ret_address)
{
	memset(ret_address, 0, sizeof(*ret_address));
	ret_address->sun_family = AF_UNIX;
	/* Both parts have a known length: 14 to 24 and 78 bytes. */
	const int length = snprintf(ret_address->sun_path, sizeof(ret_address->sun_path),
				    "/proc/self/fd/%d/%s", directory_fd, name);

	assert(length > 0 && (size_t)length < sizeof(ret_address->sun_path));
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Wait until FD is ready for EVENTS.  DEADLINE_MS -1: no limit. */
static int wait_ready(int fd, short events, int64_t deadline_ms)
{
	for (;;) {
		struct pollfd poll_fd = { .fd = fd, .events = events };
		int64_t left_ms = deadline_ms < 0 ? -1 : deadline_ms - now_ms();
		int n = 0;

		if (deadline_ms >= 0 && left_ms <= 0)
			return -ETIMEDOUT;
		n = poll(&poll_fd, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

int control_read_line(int fd, int timeout_ms, char **ret_line, size_t *ret_size)
{
	const int64_t deadline_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	char *line = malloc(CONTROL_LINE_MAX);
	size_t used = 0;
	int r = line == NULL ? -ENOMEM : 0;

	while (r == 0) {
		ssize_t n = 0;
		char *end = NULL;

		r = wait_ready(fd, POLLIN, deadline_ms);
		if (r < 0)
			break;
		n = recv(fd, line + used, CONTROL_LINE_MAX - used, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0) {
			r = n < 0 ? -errno : -ECONNRESET;
			break;
		}
		end = memchr(line + used, '\n', (size_t)n);
		used += (size_t)n;
		if (end != NULL) {
			*ret_size = (size_t)(end - line);
			*end = '\0';
			*ret_line = line;
			return 0;
		}
		if (used == CONTROL_LINE_MAX)
			r = -EMSGSIZE;
	}
	free(line);
	return r;
}

static int send_all(int fd, int64_t deadline_ms, const char *data, size_t size)
{
	while (size > 0) {
		const int r = wait_ready(fd, POLLOUT, deadline_ms);
		ssize_t n = 0;

		if (r < 0)
			return r;
		n = send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return -errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

int control_write_line(int fd, int timeout_ms, const char *text)
{
	const int64_t deadline_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	const int r = send_all(fd, deadline_ms, text, strlen(text));

	return r < 0 ? r : send_all(fd, deadline_ms, "\n", 1);
}

union fd_message {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

int control_send_fd(int fd, int passed_fd)
{
	char carrier = 0;
	struct iovec data = { &carrier, 1 };
	union fd_message control = { 0 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &passed_fd, sizeof(int));
	return sendmsg(fd, &message, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int control_receive_fd(int fd, int timeout_ms, int *ret_passed_fd)
{
	char carrier = 0;
	struct iovec data = { &carrier, 1 };
	union fd_message control = { 0 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	const struct cmsghdr *header = NULL;
	const int r = wait_ready(fd, POLLIN, now_ms() + timeout_ms);

	if (r < 0)
		return r;
	if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) != 1)
		return -EPROTO;
	header = CMSG_FIRSTHDR(&message);
	if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPROTO;
	memcpy(ret_passed_fd, CMSG_DATA(header), sizeof(int));
	return 0;
}
