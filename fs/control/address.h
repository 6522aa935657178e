/* SPDX-License-Identifier: Apache-2.0 */
/* Names of control sockets, and lines on them with a limit and a deadline. */
#ifndef SNAPCRYPT_FS_CONTROL_ADDRESS_H
#define SNAPCRYPT_FS_CONTROL_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "meta/macros.h"
#include "meta/uuid.h"

#define CONTROL_NAME_SIZE (2 * UUID_TEXT_SIZE + sizeof(".sock"))
#define CONTROL_LINE_MAX  (256 * 1024)

void control_name(const struct uuid *volume, const struct uuid *mount,
		  char name[static CONTROL_NAME_SIZE]);

/* -EBADMSG: not the name of a control socket. */
MUST_CHECK int control_parse_name(const char *name, struct uuid *ret_volume,
				  struct uuid *ret_mount);

/*
 * The address of NAME in the directory open at DIRECTORY_FD.  It goes through /proc, because a path
 * in sockaddr_un has at most 107 bytes.
 */
void control_address(int directory_fd, const char *name, struct sockaddr_un *ret_address);

/*
 * Read one line of at most CONTROL_LINE_MAX bytes, without its end; free() it.  The whole line must
 * come before TIMEOUT_MS is over (-1: no limit).  -ETIMEDOUT; -EMSGSIZE; -ECONNRESET: no whole line.
 */
MUST_CHECK int control_read_line(int fd, int timeout_ms, char **ret_line, size_t *ret_size);

/* Write TEXT and a newline.  -ETIMEDOUT, -EPIPE. */
MUST_CHECK int control_write_line(int fd, int timeout_ms, const char *text);

/* Pass a descriptor to the peer, with one byte that carries it.  -EPROTO: none came. */
MUST_CHECK int control_send_fd(int fd, int passed_fd);
MUST_CHECK int control_receive_fd(int fd, int timeout_ms, int *ret_passed_fd);

#endif
