/* SPDX-License-Identifier: Apache-2.0 */
/* Serving an opened volume: bringing everything up in order, waiting for the end, taking it down in reverse. */
#include "fs/mount/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/mount/attach.h"
#include "fs/mount/attr.h"
#include "fs/mount/open_files.h"
#include "fs/mount/ops.h"
#include "fs/mount/root.h"
#include "fs/mount/seal.h"
#include "fs/mount/session.h"
#include "kms/kms.h"
#include "meta/exit_code.h"

#define EXPIRE_MS       250
#define IDLE_MS         2000
#define IDLE_BUFFERS    12
#define SEALING_DEFAULT 4
#define SEALING_MAX     16

static int fail(struct store_error *reterr, int code, int exit_code, const char *what)
{
	reterr->code = code;
	reterr->exit_code = exit_code;
	snprintf(reterr->text, sizeof(reterr->text), "%s: %s", what, strerror(-code));
	reterr->advice[0] = '\0';
	return code;
}

/* ---- What the loop tells --------------------------------------------------------------------- */

void mount_wake(struct mount *mount)
{
	const uint64_t one = 1;

	if (write(mount->end_fd, &one, sizeof(one)) < 0)
		errno = 0;
}

static bool on_interrupt(void *arg, uint64_t unique, struct buffer *interrupt)
{
	struct mount *mount = arg;

	park_interrupt(mount->park, unique, interrupt);
	return true;
}

static void on_served(void *arg)
{
	struct mount *mount = arg;

	if (mount->is_serving && !atomic_exchange(&mount->is_ready_told, true))
		mount_wake(mount);
}

static void on_ended(void *arg)
{
	struct mount *mount = arg;

	mount->has_ended = true;
	mount_wake(mount);
}

/* ---- Up and down ----------------------------------------------------------------------------- */

static void init_lock(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attributes;

	/* Or a stream of readers keeps a rename or a revocation waiting for ever. */
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
}

static size_t directory_budget(const struct mount *mount)
{
	size_t limit = mount->options->daemon->descriptor_limit;

	return limit / 4 < 8192 ? limit / 4 : 8192;
}

static void freed_node(void *arg, struct node *node)
{
	struct mount *mount = arg;

	directory_node_freed(mount->directories, node);
}

/* Sealing is bound by memory and the filesystem below long before it has used more than a few processors. */
static unsigned sealing_threads(const struct mount_options *options)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (options->threads)
		return options->threads < SEALING_MAX ? options->threads : SEALING_MAX;
	return processors < 1                 ? 1
	       : processors > SEALING_DEFAULT ? SEALING_DEFAULT
					      : (unsigned)processors;
}

/* ROOT's descriptor and snapshot go over to the directories. */
static int create_tree(struct mount *mount, const struct place *root)
{
	struct attr attr;
	int r = attr_read_fd(root->fd, &attr);

	if (r == 0)
		r = nodes_create(&attr.identity, freed_node, mount, &mount->nodes);
	if (r == 0)
		r = directories_create(mount->nodes, root, directory_budget(mount),
				       &mount->directories);
	if (r == 0)
		r = write_queue_create(mount->options->write_queue, sealing_threads(mount->options),
				       &mount->queue);
	if (r == 0)
		r = open_files_create(mount->nodes, mount->queue, &mount->files);
	if (r == 0)
		mount->files->device = attr.stat.st_dev;
	return r;
}

static int create_loop(struct mount *mount)
{
	const struct park_options park_options = {
		.session = mount->session,
		.deks = store_deks(mount->store),
		.timeout_ms = mount->options->key_timeout_ms,
	};
	const struct loop_options loop_options = {
		.session = mount->session,
		.buffers = mount->buffers,
		.interrupted = on_interrupt,
		.served = on_served,
		.ended = on_ended,
		.arg = mount,
	};
	int r = park_create(&park_options, &mount->park);

	if (r == 0)
		r = notifier_create(mount->session, &mount->notifier);
	if (r == 0)
		r = loop_create(&loop_options, &mount->loop);
	if (r < 0)
		return r;
	park_set_loop(mount->park, mount->loop);
	return loop_start(mount->loop);
}

static struct mount *new_mount(const struct mount_options *options, struct store *store)
{
	struct mount *mount = calloc(1, sizeof(*mount));

	if (!mount)
		return NULL;
	init_lock(&mount->namespace_lock);
	pthread_mutex_init(&mount->handles_lock, NULL);
	mount->options = options;
	mount->store = store;
	mount->snapshot_depth = store_volume(store)->snapshot_depth;
	mount->is_read_only = options->is_read_only || !store_is_writable(store);
	mount->is_private = !mount->is_read_only;
	mount->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	mount->buffers = buffer_pool_create(IDLE_BUFFERS);
	return mount;
}

/* In reverse; everything accepts that it was never made. */
static void free_mount(struct mount *mount)
{
	health_free(mount->health);
	if (mount->loop)
		loop_stop(mount->loop);
	loop_free(mount->loop);
	notifier_free(mount->notifier);
	park_free(mount->park);
	write_queue_free(mount->queue);
	if (mount->session)
		fuse_session_destroy(mount->session);
	nodes_free(mount->nodes);
	directories_free(mount->directories);
	open_files_free(mount->files);
	buffer_pool_free(mount->buffers);
	if (mount->end_fd >= 0)
		close(mount->end_fd);
	pthread_mutex_destroy(&mount->handles_lock);
	pthread_rwlock_destroy(&mount->namespace_lock);
	free(mount);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static int open_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void take_signals(struct mount *mount, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			mount_probe_keys(mount);
		else
			mount->has_ended = true;
	}
}

static void tell_ready(struct mount *mount)
{
	if (!mount->is_ready_told || mount->is_announced)
		return;
	mount->is_announced = true;
	attach_settle(mount);
	if (mount->options->started && mount->options->started(mount->options->arg, mount) < 0)
		store_report(mount->store, LOG_WARNING, "",
			     "commands cannot reach this mount: no control socket");
	store_report(mount->store, LOG_INFO, "", "serving at %s%s", mount->options->mountpoint,
		     mount->is_read_only ? ", read-only" : "");
	daemon_ready(mount->options->daemon);
}

static void wait_for_end(struct mount *mount, int signals)
{
	struct pollfd sources[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = mount->end_fd, .events = POLLIN },
	};

	while (!mount->has_ended) {
		uint64_t ignored;

		(void)poll(sources, ARRAY_SIZE(sources),
			   park_count(mount->park) ? EXPIRE_MS : IDLE_MS);
		if (sources[1].revents && read(mount->end_fd, &ignored, sizeof(ignored)) < 0)
			errno = 0;
		take_signals(mount, signals);
		tell_ready(mount);
		park_expire(mount->park);
	}
}

static void end(struct mount *mount)
{
	daemon_stopping(mount->options->daemon);
	if (mount->is_announced && mount->options->ending)
		mount->options->ending(mount->options->arg, mount);
	detach(mount);
	loop_stop(mount->loop);
	/* Nobody waits for a data key any more; what is open stays so. */
	kms_cancel(mount->options->kms);
	store_report(mount->store, LOG_INFO, "", "no longer serving at %s",
		     mount->options->mountpoint);
}

/* Handles that survive the mount (a lazy umount with open files) are closed here; their writes are not lost. */
static int close_everything(struct mount *mount)
{
	ops_free_directories(mount);
	return ops_close_handles(mount);
}

static int serve(struct mount *mount, struct store_error *reterr)
{
	int signals = open_signals();
	int r = signals < 0 ? -errno : create_loop(mount);

	if (r == 0)
		r = health_create(mount, &mount->health);
	if (r < 0) {
		detach(mount);
		if (signals >= 0)
			close(signals);
		return fail(reterr, r, EXIT_FAILED, "cannot start serving");
	}
	wait_for_end(mount, signals);
	end(mount);
	close(signals);
	r = close_everything(mount);
	if (r == 0)
		mount_seal_written(mount);
	if (r < 0)
		return fail(reterr, r, EXIT_STORAGE, "what was written last could not be stored");
	/* Ended before it began: the mount was torn down at once. */
	return mount->is_announced ? 0
				   : fail(reterr, -ENOTCONN, EXIT_FAILED,
					  "the mount was ended before it served");
}

static int bring_up(struct mount *mount, struct store_error *reterr)
{
	const struct mount_options *options = mount->options;
	unsigned long flags = 0;
	char unknown[64] = "";
	struct place root;
	int r = attach_flags(options, &flags, unknown, sizeof(unknown));

	if (r < 0) {
		(void)fail(reterr, r, EXIT_USAGE, "mount options");
		snprintf(reterr->text, sizeof(reterr->text), "unknown mount option '%s'", unknown);
		return r;
	}
	r = mountpoint_check(store_root_fd(mount->store), options, reterr);
	if (r == 0)
		r = root_open(mount->store, options, &root, reterr);
	if (r < 0)
		return r;
	r = create_tree(mount, &root);
	free((char *)(uintptr_t)root.path);
	if (r < 0)
		return fail(reterr, r, EXIT_FAILED, "cannot prepare the mount");
	r = attach(mount, flags);
	return r < 0 ? fail(reterr, r, EXIT_FAILED, options->mountpoint) : 0;
}

int mount_run(const struct mount_options *options, struct store *store, struct store_error *reterr)
{
	struct mount *mount = new_mount(options, store);

	if (!mount || !mount->buffers || mount->end_fd < 0) {
		if (mount)
			free_mount(mount);
		return fail(reterr, -ENOMEM, EXIT_FAILED, "cannot prepare the mount");
	}
	int r = bring_up(mount, reterr);

	if (r == 0)
		r = serve(mount, reterr);
	free_mount(mount);
	return r;
}
