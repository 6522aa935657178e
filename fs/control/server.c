/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a mount: accepting, and one thread for each peer.
 *
 * Requests are read with a limit and a deadline, so that a peer that says nothing holds nothing up.
 * "umount" is the one request that is answered late: its peer waits until the volume is released.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fs/control/address.h"
#include "fs/control/control.h"
#include "fs/control/directory.h"
#include "fs/control/mount_table.h"
#include "fs/control/requests.h"
#include "fs/document.h"
#include "meta/exit_code.h"

#define PEERS_MAX       8
#define PEER_TIMEOUT_MS 5000
#define LOOK_AGAIN_S    1

struct peer {
	struct control *control;
	pthread_t thread;
	int fd;
	bool is_running; /* a thread is there to be joined */
	bool has_ended;
};

/* Guarded by lock: state, outcome, busy, peers. */
struct control {
	struct control_options options;
	char name[CONTROL_NAME_SIZE];
	int directory_fd;
	int listen_fd;
	int stop_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	enum { CONTROL_SERVING, CONTROL_DRAINING, CONTROL_RELEASED } state;
	int outcome;
	unsigned busy; /* requests that run, without those that wait for the release */
	struct peer peers[PEERS_MAX];
};

/* ---- Peers -------------------------------------------------------------------------------- */

static bool peer_is_allowed(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

static bool begin_request(struct control *control)
{
	bool is_serving = false;

	pthread_mutex_lock(&control->lock);
	is_serving = control->state == CONTROL_SERVING;
	if (is_serving)
		control->busy++;
	pthread_mutex_unlock(&control->lock);
	return is_serving;
}

static void end_request(struct control *control)
{
	pthread_mutex_lock(&control->lock);
	control->busy--;
	pthread_cond_broadcast(&control->changed);
	pthread_mutex_unlock(&control->lock);
}

static bool peer_has_gone(int fd)
{
	char byte = 0;
	const ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* 1 and the outcome when the volume is released; 0: the peer waits no longer (a busy mount). */
static int wait_for_release(struct control *control, int fd, int *ret_outcome)
{
	bool is_released = false;
	bool has_gone = false;

	for (;;) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += LOOK_AGAIN_S;
		pthread_mutex_lock(&control->lock);
		if (control->state != CONTROL_RELEASED && !has_gone)
			pthread_cond_timedwait(&control->changed, &control->lock, &until);
		is_released = control->state == CONTROL_RELEASED;
		*ret_outcome = control->outcome;
		pthread_mutex_unlock(&control->lock);
		if (is_released)
			return 1;
		/* Being released shuts connections for reading, too: ask once more which it was. */
		if (has_gone)
			return 0;
		has_gone = peer_has_gone(fd);
	}
}

/* Returns whether there is something to reply. */
static bool answer_release(struct control *control, int fd, struct json_object *reply)
{
	int outcome = 0;

	/* The peer unmounts only when it knows that we wait with it. */
	if (control_write_line(fd, PEER_TIMEOUT_MS, "{\"ok\":true,\"waiting\":true}") < 0 ||
	    wait_for_release(control, fd, &outcome) == 0)
		return false;
	if (outcome < 0)
		request_refuse(reply, EXIT_STORAGE,
			       "%s: what was written last did not reach the backing directory: %s",
			       control->options.mountpoint, strerror(-outcome));
	else
		document_add_bool(reply, "ok", true);
	return true;
}

static void serve_peer(struct control *control, int fd)
{
	char *line = NULL;
	size_t size = 0;
	CLEANUP(document_cleanup) struct json_object *request = NULL;
	CLEANUP(document_cleanup) struct json_object *reply = document_new_object();
	const char *command = NULL;

	if (!peer_is_allowed(fd) || control_read_line(fd, PEER_TIMEOUT_MS, &line, &size) < 0)
		return;
	request = document_read(line, size);
	free(line);
	command = document_text(request, "command");
	if (command == NULL) {
		request_refuse(reply, EXIT_USAGE, "control socket: not a request");
	} else if (strcmp(command, "umount") == 0) {
		if (!answer_release(control, fd, reply))
			return;
	} else if (strcmp(command, "backing") == 0) {
		if (control_send_fd(fd, store_root_fd(control->options.store)) < 0)
			return;
		document_add_bool(reply, "ok", true);
	} else if (begin_request(control)) {
		request_run(&control->options, request, reply);
		end_request(control);
	} else {
		request_refuse(reply, EXIT_NOT_MOUNTED, "%s is being unmounted",
			       control->options.mountpoint);
	}
	/* A peer that has gone wants no answer. */
	(void)!control_write_line(fd, PEER_TIMEOUT_MS, document_line(reply));
}

static void *peer_main(void *arg)
{
	struct peer *peer = arg;
	struct control *control = peer->control;

	serve_peer(control, peer->fd);
	pthread_mutex_lock(&control->lock);
	close(peer->fd);
	peer->fd = -1;
	peer->has_ended = true;
	pthread_mutex_unlock(&control->lock);
	return NULL;
}

/* Only the accepting thread starts and joins peers. */
static void reap_peers(struct control *control)
{
	for (size_t i = 0; i < PEERS_MAX; i++) {
		struct peer *peer = &control->peers[i];
		bool has_ended = false;

		pthread_mutex_lock(&control->lock);
		has_ended = peer->is_running && peer->has_ended;
		pthread_mutex_unlock(&control->lock);
		if (has_ended) {
			pthread_join(peer->thread, NULL);
			peer->is_running = false;
		}
	}
}

static void accept_peer(struct control *control)
{
	const int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	reap_peers(control);
	for (size_t i = 0; i < PEERS_MAX; i++) {
		struct peer *peer = &control->peers[i];

		if (peer->is_running)
			continue;
		pthread_mutex_lock(&control->lock);
		*peer = (struct peer){ .control = control, .fd = fd, .is_running = true };
		pthread_mutex_unlock(&control->lock);
		if (pthread_create(&peer->thread, NULL, peer_main, peer) == 0)
			return;
		peer->is_running = false;
		break;
	}
	/* All busy: the peer sees the end of the connection and asks again. */
	close(fd);
}

static void *control_main(void *arg)
{
	struct control *control = arg;

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = control->listen_fd, .events = POLLIN },
			{ .fd = control->stop_fd, .events = POLLIN },
		};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[1].revents != 0)
			return NULL;
		if (fds[0].revents != 0)
			accept_peer(control);
	}
}

/* ---- Start and end ------------------------------------------------------------------------ */

static void control_free(struct control *control)
{
	if (control == NULL)
		return;
	if (control->listen_fd >= 0)
		close(control->listen_fd);
	if (control->stop_fd >= 0)
		close(control->stop_fd);
	if (control->directory_fd >= 0)
		close(control->directory_fd);
	pthread_cond_destroy(&control->changed);
	pthread_mutex_destroy(&control->lock);
	free(control);
}

static void control_cleanup(struct control **control)
{
	control_free(*control);
}

static int listen_at(struct control *control)
{
	struct sockaddr_un address;
	char name[CONTROL_NAME_SIZE + 4];

	/*
	 * It gets its name when it listens: a socket that refuses is taken for a left-over.  Its mode is
	 * that of the new inode, so that there is no moment at which others may connect.
	 */
	snprintf(name, sizeof(name), "%s.new", control->name);
	control_address(control->directory_fd, name, &address);
	control->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->listen_fd < 0 || fchmod(control->listen_fd, 0600) != 0 ||
	    bind(control->listen_fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    fchmodat(control->directory_fd, name, 0600, 0) != 0 ||
	    listen(control->listen_fd, PEERS_MAX) != 0 ||
	    renameat(control->directory_fd, name, control->directory_fd, control->name) != 0) {
		const int error = -errno;

		unlinkat(control->directory_fd, name, 0);
		return error;
	}
	return 0;
}

/* Threads that are made now must not take the signals meant for the mount. */
static int start_thread(struct control *control)
{
	sigset_t all;
	sigset_t before;
	int r = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&control->thread, NULL, control_main, control);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

/* What tells one mount from another, wherever it is seen from. */
static int find_device(const char *mountpoint, dev_t *ret_device)
{
	CLEANUP(mount_table_cleanup) struct mount_table table = { 0 };
	const struct mount_entry *entry = NULL;
	const int r = mount_table_read(&table);

	if (r < 0)
		return r;
	entry = mount_table_at(&table, mountpoint);
	if (entry == NULL)
		return -ENOTCONN;
	*ret_device = entry->device;
	return 0;
}

static int control_fail(struct store_error *reterr, const struct control_options *options,
			int error)
{
	memset(reterr, 0, sizeof(*reterr));
	reterr->code = error;
	reterr->exit_code = EXIT_FAILED;
	snprintf(reterr->text, sizeof(reterr->text), "control socket in %s: %s",
		 options->runtime_dir,
		 error == -EPERM ? "the directory is another user's or open to others"
				 : strerror(-error));
	snprintf(reterr->advice, sizeof(reterr->advice),
		 "name another one with --runtime-dir or SNAPCRYPT_RUNTIME_DIR");
	return error;
}

int control_start(const struct control_options *options, struct control **ret_control,
		  struct store_error *reterr)
{
	CLEANUP(control_cleanup) struct control *control = calloc(1, sizeof(*control));
	int r = 0;

	if (control == NULL)
		return control_fail(reterr, options, -ENOMEM);
	control->options = *options;
	control->listen_fd = -1;
	control->directory_fd = -1;
	control->stop_fd = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_init(&control->lock, NULL);
	pthread_cond_init(&control->changed, NULL);
	control_name(&store_volume(options->store)->volume, store_mount_id(options->store),
		     control->name);
	r = find_device(options->mountpoint, &control->options.device);
	if (r < 0)
		return control_fail(reterr, options, r);
	r = control->stop_fd < 0
		    ? -errno
		    : control_directory_open(options->runtime_dir, true, &control->directory_fd);
	if (r < 0)
		return control_fail(reterr, options, r);
	control_directory_remove_stale(control->directory_fd);
	r = listen_at(control);
	if (r == 0)
		r = start_thread(control);
	if (r < 0) {
		unlinkat(control->directory_fd, control->name, 0);
		return control_fail(reterr, options, r);
	}
	*ret_control = TAKE(control);
	return 0;
}

void control_drain(struct control *control)
{
	if (control == NULL)
		return;
	pthread_mutex_lock(&control->lock);
	control->state = CONTROL_DRAINING;
	while (control->busy > 0)
		pthread_cond_wait(&control->changed, &control->lock);
	pthread_mutex_unlock(&control->lock);
}

void control_finish(struct control *control, int outcome)
{
	const uint64_t one = 1;

	if (control == NULL)
		return;
	control_drain(control);
	unlinkat(control->directory_fd, control->name, 0);
	pthread_mutex_lock(&control->lock);
	control->state = CONTROL_RELEASED;
	control->outcome = outcome;
	pthread_cond_broadcast(&control->changed);
	/* Peers that have not said anything yet. */
	for (size_t i = 0; i < PEERS_MAX; i++)
		if (control->peers[i].is_running && control->peers[i].fd >= 0)
			shutdown(control->peers[i].fd, SHUT_RD);
	pthread_mutex_unlock(&control->lock);
	if (write(control->stop_fd, &one, sizeof(one)) != sizeof(one))
		abort();
	pthread_join(control->thread, NULL);
	for (size_t i = 0; i < PEERS_MAX; i++)
		if (control->peers[i].is_running)
			pthread_join(control->peers[i].thread, NULL);
	control_free(control);
}
