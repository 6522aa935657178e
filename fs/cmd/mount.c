/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount: from options to a mount that serves.
 *
 * The order is a security property (fs/mount/daemon.h): the daemon is made first; configuration,
 * keys and the volume are opened in it, and its parent ends with the outcome.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/cmd/cataloging.h"
#include "fs/cmd/commands.h"
#include "fs/cmd/key_uri.h"
#include "fs/cmd/mount_events.h"
#include "fs/cmd/mount_keys.h"
#include "fs/cmd/mount_options.h"
#include "fs/cmd/mount_status.h"
#include "fs/cmd/report.h"
#include "fs/cmd/session.h"
#include "fs/control/control.h"
#include "fs/log.h"
#include "fs/mount/attach.h"
#include "fs/mount/mount.h"

#define THREADS_MAX         16
#define THREADS_DEFAULT_MAX 4

const struct option_spec options_mount[] = {
	{ NULL, 'o', "OPTIONS", "options as in fstab, see mount.snapcrypt(8)" },
	{ "foreground", 'f', NULL, "stay in the foreground and log to standard error" },
	{ "read-only", 0, NULL, "the same as -o ro" },
	{ "snapshot", 0, "SNAPSHOT", "show this one only; needs ro" },
	{ "require-sealed", 0, NULL, "serve sealed snapshots only; needs ro" },
	{ "role", 0, "ROLE", "read-write or write-only" },
	{ "key-poll", 0, "DURATION", "interval of health probes" },
	{ "read-ahead", 0, "SIZE", "kernel read-ahead" },
	{ "write-queue", 0, "SIZE", "bytes acknowledged and not yet written" },
	{ "replace-dead", 0, NULL, "detach a dead mount of ours at this place first" },
	{ NULL, 0, NULL, NULL },
};

/* One mount from its options to its end. */
struct serving {
	const struct mount_request *request;
	struct session session;
	struct daemon daemon;
	struct mount_options options;
	struct mount_status_source status;
	struct control *control;
	struct events *events;
	char *mountpoint;
};

/* ---- The configuration -------------------------------------------------------------------------- */

static void set_settings(struct serving *serving)
{
	const struct mount_request *request = serving->request;
	const struct access_setting settings[] = {
		{ "role", request->role },
		{ "key_timeout", request->key_timeout },
		{ "key_poll", request->key_poll },
		{ "read_ahead", request->read_ahead },
		{ "write_queue", request->write_queue },
	};

	serving->session.config_file = request->config;
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		if (settings[i].value != NULL)
			session_set(&serving->session, settings[i].key, settings[i].value);
}

static void open_log(const struct serving *serving)
{
	const struct access *access = &serving->session.access;
	const struct invocation *invocation = serving->session.invocation;
	const char *format = config_text(access->config, access->volume_name, "log_format");
	struct log_options options = {
		.to_syslog = !serving->request->is_foreground,
		.is_json = format != NULL && strcmp(format, "json") == 0,
		.priority = log_level_parse(
			config_text(access->config, access->volume_name, "log_level")),
		.volume = access->backing,
	};

	if (invocation->is_quiet)
		options.priority = LOG_ERR;
	if (options.priority < 0 || (invocation->verbosity > 0 && options.priority < LOG_INFO))
		options.priority = LOG_INFO;
	if (invocation->verbosity > 1)
		options.priority = LOG_DEBUG;
	log_open(&options);
}

static uint32_t milliseconds(int64_t duration_s)
{
	return duration_s < 0 || duration_s > UINT32_MAX / 1000 ? UINT32_MAX
								: (uint32_t)duration_s * 1000;
}

/* The table of the configuration has checked the word. */
static enum mount_on_revoke on_revoke(const char *word)
{
	if (strcmp(word, "readonly") == 0)
		return MOUNT_READ_ONLY;
	return strcmp(word, "prevent_new") == 0 ? MOUNT_PREVENT_NEW : MOUNT_BLOCK;
}

static int find_mountpoint(struct serving *serving)
{
	const struct access *access = &serving->session.access;
	const char *path = serving->request->mountpoint;

	if (path == NULL && access->volume_name != NULL)
		path = config_text(access->config, access->volume_name, "mountpoint");
	if (path == NULL) {
		fail(serving->session.invocation, EXIT_USAGE, "%s: no mount point",
		     serving->request->volume);
		advise(serving->session.invocation,
		       "name one, or set 'mountpoint' in the section of the volume");
		return EXIT_USAGE;
	}
	serving->mountpoint = realpath(path, NULL);
	/* A dead mount cannot be resolved, but its directory can. */
	if (serving->mountpoint == NULL && errno == ENOTCONN)
		serving->mountpoint = key_uri_absolute_path(path);
	if (serving->mountpoint == NULL)
		return fail(serving->session.invocation, EXIT_FAILED, "mount point %s: %s", path,
			    strerror(errno));
	return 0;
}

/* With -s of mount(8), options that nobody knows are left out. */
static void drop_unknown_options(struct mount_options *options, char *kernel)
{
	unsigned long flags = 0;
	char unknown[64] = "";

	options->kernel_options = kernel;
	while (kernel != NULL && attach_flags(options, &flags, unknown, sizeof(unknown)) < 0) {
		char *found = strstr(kernel, unknown);
		const size_t length = strlen(unknown);

		if (found == NULL || length == 0)
			break;
		memmove(found, found + length, strlen(found + length) + 1);
	}
}

/* 0: as the machine has.  More than a few only fight for the storage below. */
static unsigned thread_count(unsigned configured)
{
	const long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (configured > 0)
		return configured < THREADS_MAX ? configured : THREADS_MAX;
	return processors < 1                     ? 1
	       : processors > THREADS_DEFAULT_MAX ? THREADS_DEFAULT_MAX
						  : (unsigned)processors;
}

static void fill_options(struct serving *serving)
{
	const struct mount_request *request = serving->request;
	const struct access *access = &serving->session.access;
	const struct config *config = access->config;
	const char *name = access->volume_name;

	serving->options = (struct mount_options){
		.source = request->fsname != NULL ? request->fsname : access->backing,
		.mountpoint = serving->mountpoint,
		.snapshot = request->snapshot,
		.kernel_options = request->kernel,
		.is_read_only = request->is_read_only,
		.requires_sealed = request->requires_sealed ||
				   (request->is_read_only &&
				    config_bool(config, name, "require_sealed")),
		.allows_others = request->allow_other == MOUNT_YES ||
				 (request->allow_other == MOUNT_DEFAULT && geteuid() == 0),
		.follows_symlinks = request->symfollow == MOUNT_YES ||
				    (request->symfollow == MOUNT_DEFAULT && !request->is_read_only),
		.replaces_dead = request->replaces_dead,
		.key_timeout_ms = milliseconds(config_duration_s(config, name, "key_timeout")),
		.key_poll_ms = milliseconds(config_duration_s(config, name, "key_poll")),
		.on_revoke = on_revoke(config_text(config, name, "on_revoke")),
		.unreachable_grace_s = config_duration_s(config, name, "unreachable_grace"),
		.rotation_age_s = config_duration_s(config, name, "rotation_age"),
		.read_ahead = config_size(config, name, "read_ahead"),
		.write_queue = config_size(config, name, "write_queue"),
		.threads = thread_count((unsigned)config_number(config, name, "threads")),
		.kms = access->kms,
		.trust = access->trust,
		.daemon = &serving->daemon,
	};
	if (request->is_sloppy)
		drop_unknown_options(&serving->options, request->kernel);
}

/* ---- The volume --------------------------------------------------------------------------------- */

static void report(void *arg, int priority, const char *path, const char *text)
{
	(void)arg;
	log_line(priority, path, text);
}

static int open_store(struct serving *serving)
{
	struct session *session = &serving->session;
	const struct config *config = session->access.config;
	const char *name = session->access.volume_name;
	const bool is_read_only = serving->request->is_read_only || serving->request->is_fake;
	const struct store_options options = {
		.access = is_read_only ? STORE_READ : STORE_WRITE,
		.replaces_lease = serving->request->replaces_dead,
		.spare_keys = is_read_only ? 0
					   : (unsigned)config_number(config, name, "spare_keys"),
		.report = report,
	};
	struct store_error error = { 0 };

	if (access_open_store(&session->access, &options, &session->store, &error) < 0)
		return session_fail(session, &error);
	if (!store_is_encrypted(session->store) && config_bool(config, name, "require_encryption"))
		return fail(session->invocation, EXIT_POLICY,
			    "%s: require_encryption refuses a volume without encryption",
			    session->access.backing);
	return 0;
}

static int test_keys(struct serving *serving)
{
	if (!serving->request->is_read_only)
		return mount_keys_test_default(&serving->session);
	/* The keys of a single snapshot are tested where it is looked up. */
	return serving->request->snapshot != NULL ? 0 : mount_keys_test_all(&serving->session);
}

/* The catalogue may be down: that must not keep backups from being made. */
static void enter_catalog(struct serving *serving)
{
	char text[512];
	char line[640];

	if (cataloging_register(&serving->session, &store_volume(serving->session.store)->volume,
				text) == 0)
		return;
	snprintf(line, sizeof(line), "not entered into the catalogue: %s", text);
	log_line(serving->request->is_read_only ? LOG_INFO : LOG_WARNING, NULL, line);
}

static int prepare(struct serving *serving)
{
	struct session *session = &serving->session;
	struct store_error error = { 0 };
	int r = 0;

	set_settings(serving);
	r = session_open_volume(session, serving->request->volume);
	if (r == 0)
		r = find_mountpoint(serving);
	if (r != 0)
		return r;
	open_log(serving);
	fill_options(serving);
	if (mountpoint_check(session->access.backing_fd, &serving->options, &error) < 0)
		return session_fail(session, &error);
	r = session_open_kms(session);
	if (r == 0)
		r = open_store(serving);
	if (r == 0)
		r = test_keys(serving);
	if (r == 0 && !serving->request->is_fake)
		enter_catalog(serving);
	serving->options.kms = session->access.kms;
	return r;
}

/* ---- Serving ------------------------------------------------------------------------------------ */

static int start_control(void *arg, struct mount *mount)
{
	struct serving *serving = arg;
	struct access *access = &serving->session.access;
	const struct control_options options = {
		.runtime_dir = config_runtime_dir(access->config),
		.name = access->volume_name,
		.backing = access->backing,
		.mountpoint = serving->mountpoint,
		.config = access->config,
		.store = serving->session.store,
		.kms = access->kms,
		.trust = access->trust,
		.status = mount_status_fill,
		.probe = mount_status_probe,
		.seal_options = mount_status_seal_options,
		.removed = mount_status_removed,
		.arg = &serving->status,
	};
	struct store_error error = { 0 };
	int r = 0;

	session_say_notice(&serving->session);
	serving->status.mount = mount;
	r = control_start(&options, &serving->control, &error);
	if (r < 0)
		log_line(LOG_WARNING, NULL, error.text);
	/* From here on nothing keeps the directory busy in which the command was typed. */
	if (!serving->request->is_foreground && chdir("/") != 0)
		return -errno;
	return r;
}

static void send_event(void *arg, const struct mount_event *event)
{
	const struct serving *serving = arg;

	mount_events_send(serving->events, &serving->session, serving->mountpoint, event);
}

static void stop_control(void *arg, struct mount *mount)
{
	struct serving *serving = arg;

	(void)mount;
	control_drain(serving->control);
}

static int serve(struct serving *serving)
{
	struct session *session = &serving->session;
	struct store_error error = { 0 };
	int r = 0;
	int outcome = 0;

	serving->status.options = &serving->options;
	serving->status.is_write_only =
		strcmp(config_text(session->access.config, session->access.volume_name, "role"),
		       "write-only") == 0;
	serving->options.started = start_control;
	serving->options.ending = stop_control;
	serving->options.event = send_event;
	serving->options.arg = serving;
	r = mount_events_open(session, &serving->events);
	if (r != 0)
		return r;
	serving->status.has_event_command = serving->events != NULL;
	r = mount_run(&serving->options, session->store, &error);
	events_close(TAKE(serving->events));
	outcome = store_close(TAKE(session->store));
	if (r < 0 && outcome == 0)
		outcome = r;
	control_finish(serving->control, outcome);
	serving->control = NULL;
	if (r < 0)
		return session_fail(session, &error);
	if (outcome < 0)
		return fail(session->invocation, EXIT_STORAGE,
			    "%s: what was written last could not be stored: %s",
			    session->access.backing, strerror(-outcome));
	return EXIT_OK;
}

/* Failures are reported here, because the parent ends when it hears of them. */
static int finish(struct serving *serving, int exit_code)
{
	struct invocation *invocation = serving->session.invocation;

	if (exit_code != EXIT_OK && !serving->request->is_foreground) {
		if (serving->daemon.report_fd >= 0)
			report_failure(invocation, exit_code);
		else
			log_line(LOG_ERR, NULL, invocation->failure.text);
		invocation->failure.text[0] = '\0';
		daemon_failed(&serving->daemon,
			      serving->request->outcome == NULL
				      ? exit_code
				      : serving->request->outcome(exit_code),
			      "");
	}
	session_close(&serving->session);
	daemon_free(&serving->daemon);
	free(serving->mountpoint);
	return exit_code;
}

int mount_serve(const struct mount_request *request, struct invocation *invocation)
{
	struct serving serving = { .request = request };
	const int here_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = mount_request_check(request, invocation);

	session_init(&serving.session, invocation);
	if (r == 0)
		r = daemon_start(&serving.daemon, request->is_foreground || request->is_fake);
	if (r < 0)
		r = fail(invocation, EXIT_FAILED, "the mount cannot be started: %s", strerror(-r));
	else if (r == 0 && here_fd >= 0 && fchdir(here_fd) != 0)
		r = fail(invocation, EXIT_FAILED, "current directory: %s", strerror(errno));
	if (here_fd >= 0)
		close(here_fd);
	if (r == 0)
		r = prepare(&serving);
	if (r == 0 && !request->is_fake)
		r = serve(&serving);
	return finish(&serving, r);
}

/* ---- The command -------------------------------------------------------------------------------- */

static int take_options(struct mount_request *request, struct invocation *invocation)
{
	static const struct {
		const char *option;
		const char *word;
	} long_forms[] = {
		{ "read-only", "ro" },
		{ "snapshot", "snapshot=" },
		{ "require-sealed", "require_sealed" },
		{ "role", "role=" },
		{ "key-poll", "key_poll=" },
		{ "read-ahead", "read_ahead=" },
		{ "write-queue", "write_queue=" },
		{ "replace-dead", "replace_dead" },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < invocation->given_count; i++)
		if (invocation->given[i].spec->letter == 'o')
			r = mount_request_add(request, invocation, invocation->given[i].value);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(long_forms); i++) {
		const char *value = option_value(invocation, long_forms[i].option);
		char *word = NULL;

		if (!option_is_set(invocation, long_forms[i].option))
			continue;
		if (asprintf(&word, "%s%s%s%s", long_forms[i].word, value == NULL ? "" : "\"",
			     value == NULL ? "" : value, value == NULL ? "" : "\"") < 0)
			return fail(invocation, EXIT_FAILED, "out of memory");
		r = mount_request_add(request, invocation, word);
		free(word);
	}
	return r;
}

int cmd_mount(struct invocation *invocation)
{
	struct mount_request request = { 0 };
	int r = take_options(&request, invocation);

	request.is_foreground = option_is_set(invocation, "foreground");
	request.volume = strdup(operand(invocation, 0));
	if (operand(invocation, 1) != NULL)
		request.mountpoint = strdup(operand(invocation, 1));
	if (r == 0)
		r = request.volume == NULL ? fail(invocation, EXIT_FAILED, "out of memory")
					   : mount_serve(&request, invocation);
	mount_request_free(&request);
	return r;
}
