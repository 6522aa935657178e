/* SPDX-License-Identifier: Apache-2.0 */
/*
 * umount: returns when everything is on the backing filesystem and the volume is released.
 *
 * The kernel lets go of a FUSE mount before its process has written everything down.  So the
 * process is told first that somebody waits; it answers when it has closed the volume.
 */
#include "fs/cmd/umount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/key_uri.h"
#include "fs/control/mount_table.h"

#define RETRY_MS          100
#define ANSWER_TIMEOUT_MS 10000
#define DEAD_MOUNTS_MAX   16

const struct option_spec options_umount[] = {
	{ "wait", 0, "DURATION", "try this long while the mount is busy; default 0" },
	{ "dead", 0, NULL, "detach a mount whose process is gone" },
	{ NULL, 0, NULL, NULL },
};

/* A user unmounts what is theirs through the setuid helper of FUSE. */
static int unmount_as_user(const char *mountpoint, bool is_lazy)
{
	char *const words[] = { (char[]){ "fusermount3" },
				is_lazy ? (char[]){ "-quz" } : (char[]){ "-qu" }, (char[]){ "--" },
				strdup(mountpoint), NULL };
	char *const environment[] = { (char[]){ "PATH=/usr/local/bin:/usr/bin:/bin" }, NULL };
	posix_spawn_file_actions_t actions;
	pid_t child = 0;
	int status = 0;
	int r = 0;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	r = words[3] == NULL ? ENOMEM
			     : posix_spawnp(&child, words[0], &actions, NULL, words, environment);
	posix_spawn_file_actions_destroy(&actions);
	free(words[3]);
	if (r != 0)
		return -EPERM;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	/* It does not say why it failed; busy is the one reason that passes. */
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

static int unmount_once(const char *mountpoint, bool is_lazy)
{
	if (umount2(mountpoint, UMOUNT_NOFOLLOW | (is_lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	return unmount_as_user(mountpoint, is_lazy);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int unmount_until(const struct umount_options *options)
{
	const int64_t deadline_ms = now_ms() + options->wait_ms;

	for (;;) {
		const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
		const int r = unmount_once(options->mountpoint, options->is_lazy);

		if (r != -EBUSY || now_ms() >= deadline_ms)
			return r;
		nanosleep(&pause, NULL);
	}
}

static int fail_unmount(struct invocation *invocation, const char *mountpoint, int error)
{
	fail(invocation, EXIT_FAILED, "umount %s: %s", mountpoint, strerror(-error));
	if (error == -EBUSY)
		advise(invocation,
		       "see who uses it with 'fuser -vm %s', or give it time with --wait",
		       mountpoint);
	return EXIT_FAILED;
}

/* ---- Waiting for the release -------------------------------------------------------------------- */

static const struct control_mount *find_answer(struct session *session,
					       const struct mount_entry *entry)
{
	if (session_open_config(session) != 0 || session_mounts(session) != 0)
		return NULL;
	for (size_t i = 0; i < session->mounts.count; i++)
		if (control_mount_device(&session->mounts.mounts[i]) == entry->device)
			return &session->mounts.mounts[i];
	return NULL;
}

/* Tell the process that somebody waits: the connection, or -1. */
static int start_waiting(struct session *session, const struct control_mount *mount)
{
	CLEANUP(document_cleanup) struct json_object *request = document_new_object();
	CLEANUP(document_cleanup) struct json_object *reply = NULL;
	int fd = -1;

	document_add_text(request, "command", "umount");
	if (control_ask(session->mounts.directory_fd, mount->socket, request, ANSWER_TIMEOUT_MS,
			&reply, &fd) < 0)
		return -1;
	if (document_is_true(reply, "ok"))
		return fd;
	close(fd);
	return -1;
}

/* No limit: how long the last blocks take is up to the storage below. */
static int finish_waiting(struct invocation *invocation, const char *mountpoint, int fd)
{
	CLEANUP(document_cleanup) struct json_object *reply = NULL;
	char *line = NULL;
	size_t size = 0;
	const int r = control_read_line(fd, -1, &line, &size);
	const char *message = NULL;

	close(fd);
	if (r == 0)
		reply = document_read(line, size);
	free(line);
	if (reply != NULL && document_is_true(reply, "ok"))
		return EXIT_OK;
	message = document_text(reply, "message");
	fail(invocation, EXIT_STORAGE, "%s%s", message == NULL ? mountpoint : message,
	     message == NULL ? ": its process ended before the volume was released" : "");
	advise(invocation,
	       "check the log of the mount, then mount the volume again: what was synced "
	       "is not lost");
	return EXIT_STORAGE;
}

int umount_and_wait(struct session *session, const struct umount_options *options)
{
	CLEANUP(mount_table_cleanup) struct mount_table table = { 0 };
	struct invocation *invocation = session->invocation;
	const struct mount_entry *entry = NULL;
	const struct control_mount *mount = NULL;
	int waiting_fd = -1;
	int r = mount_table_read(&table);

	if (r < 0)
		return fail(invocation, EXIT_FAILED, "mount table: %s", strerror(-r));
	entry = mount_table_at(&table, options->mountpoint);
	if (entry == NULL || !mount_entry_is_ours(entry))
		return fail(invocation, EXIT_NOT_MOUNTED, "%s is not a mount point of snapcrypt",
			    options->mountpoint);
	mount = find_answer(session, entry);
	if (mount != NULL && !options->is_lazy)
		waiting_fd = start_waiting(session, mount);
	r = unmount_until(options);
	if (r < 0) {
		if (waiting_fd >= 0)
			close(waiting_fd);
		return fail_unmount(invocation, options->mountpoint, r);
	}
	if (options->is_lazy)
		return EXIT_OK;
	if (waiting_fd >= 0)
		return finish_waiting(invocation, options->mountpoint, waiting_fd);
	fail(invocation, EXIT_FAILED,
	     "%s is unmounted, but its process could not be asked whether all is written",
	     options->mountpoint);
	advise(invocation, "name its runtime directory with --runtime-dir, or check its log");
	return EXIT_FAILED;
}

/* ---- Dead mounts ----------------------------------------------------------------------------------- */

int umount_dead(struct invocation *invocation, const char *mountpoint)
{
	for (int i = 0; i < DEAD_MOUNTS_MAX; i++) {
		CLEANUP(mount_table_cleanup) struct mount_table table = { 0 };
		const struct mount_entry *entry = NULL;
		int r = mount_table_read(&table);

		if (r < 0)
			return fail(invocation, EXIT_FAILED, "mount table: %s", strerror(-r));
		entry = mount_table_at(&table, mountpoint);
		if (entry == NULL || !mount_entry_is_ours(entry))
			return EXIT_OK;
		if (mount_entry_is_alive(entry)) {
			fail(invocation, EXIT_FAILED, "%s is alive", mountpoint);
			advise(invocation, "unmount it with 'snapcrypt umount %s'", mountpoint);
			return EXIT_FAILED;
		}
		r = unmount_once(mountpoint, true);
		if (r < 0)
			return fail_unmount(invocation, mountpoint, r);
	}
	return EXIT_OK;
}

/* ---- The command ------------------------------------------------------------------------------------ */

/*
 * The mount point without links.  A dead one cannot be resolved: only its directory is, and a path
 * that is mounted as it was given is taken as it is.
 */
static char *resolve(const char *path)
{
	char *real = realpath(path, NULL);
	char *copy = NULL;

	if (real != NULL)
		return real;
	copy = strdup(path);
	if (copy == NULL)
		return NULL;
	for (size_t length = strlen(copy); length > 1 && copy[length - 1] == '/'; length--)
		copy[length - 1] = '\0';
	real = key_uri_absolute_path(copy);
	free(copy);
	return real;
}

int umount_helper_run(struct session *session, const struct umount_options *options)
{
	CLEANUP(mount_table_cleanup) struct mount_table table = { 0 };
	char *mountpoint = resolve(options->mountpoint);
	const struct mount_entry *entry = NULL;
	struct umount_options resolved = *options;
	int r = mountpoint == NULL ? -errno : mount_table_read(&table);

	if (r < 0) {
		free(mountpoint);
		return fail(session->invocation, EXIT_FAILED, "%s: %s", options->mountpoint,
			    strerror(-r));
	}
	resolved.mountpoint = mountpoint;
	entry = mount_table_at(&table, mountpoint);
	r = entry != NULL && mount_entry_is_ours(entry) && !mount_entry_is_alive(entry)
		    ? umount_dead(session->invocation, mountpoint)
		    : umount_and_wait(session, &resolved);
	free(mountpoint);
	return r;
}

int cmd_umount(struct invocation *invocation)
{
	const char *wait = option_value(invocation, "wait");
	char *mountpoint = resolve(operand(invocation, 0));
	struct umount_options options = { .mountpoint = mountpoint };
	struct session session;
	int64_t wait_s = 0;
	int r = 0;

	if (mountpoint == NULL)
		return option_is_set(invocation, "dead") && errno == ENOENT
			       ? EXIT_OK
			       : fail(invocation, EXIT_NOT_MOUNTED, "%s: %s",
				      operand(invocation, 0), strerror(errno));
	session_init(&session, invocation);
	if (wait != NULL &&
	    (config_parse_duration(wait, &wait_s) < 0 || wait_s < 0 || wait_s > INT_MAX / 1000))
		r = fail(invocation, EXIT_USAGE, "--wait %s: a duration such as 60s", wait);
	options.wait_ms = wait_s * 1000;
	if (r == 0)
		r = option_is_set(invocation, "dead") ? umount_dead(invocation, mountpoint)
						      : umount_and_wait(&session, &options);
	session_close(&session);
	free(mountpoint);
	return r;
}
