/* SPDX-License-Identifier: Apache-2.0 */
/* From the options of a command to an opened volume. */
#include "fs/cmd/session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include "fs/cmd/commands.h"

void session_init(struct session *session, struct invocation *invocation)
{
	memset(session, 0, sizeof(*session));
	session->invocation = invocation;
	session->mounts.directory_fd = -1;
	access_init(&session->access);
}

void session_say_notice(struct session *session)
{
	struct invocation *invocation = session->invocation;
	const char *text = session->access.kms == NULL || invocation->has_said_notice
				   ? NULL
				   : kms_notice(session->access.kms);

	if (text == NULL)
		return;
	invocation->has_said_notice = true;
	notice(invocation, "%s", text);
}

void session_close(struct session *session)
{
	session_say_notice(session);
	/* A read-only store has nothing to lose; a writable one is closed where its outcome is used. */
	if (session->store != NULL)
		(void)!store_close(session->store);
	control_mounts_free(&session->mounts);
	access_close(&session->access);
	free(session->reached_through);
	session_init(session, session->invocation);
}

int session_fail(struct session *session, const struct store_error *error)
{
	const int exit_code = error->exit_code == EXIT_OK ? exit_code_from_errno(error->code)
							  : error->exit_code;

	fail(session->invocation, exit_code, "%s", error->text);
	if (error->advice[0] != '\0')
		advise(session->invocation, "%s", error->advice);
	return exit_code;
}

void session_set(struct session *session, const char *key, const char *value)
{
	assert(session->setting_count < SESSION_SETTINGS_MAX);
	session->settings[session->setting_count++] = (struct access_setting){ key, value };
}

/* Global options that are configuration keys. */
static void take_settings(struct session *session)
{
	static const struct {
		const char *option;
		const char *key;
	} names[] = {
		{ "state-dir", "state_dir" },
		{ "runtime-dir", "runtime_dir" },
		{ "keyring", "keyring" },
		{ "key-timeout", "key_timeout" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = option_value(session->invocation, names[i].option);

		if (value != NULL)
			session_set(session, names[i].key, value);
	}
}

int session_open_config(struct session *session)
{
	const struct invocation *invocation = session->invocation;
	struct access_options options = { 0 };
	struct store_error error = { 0 };
	const char *key = NULL;

	if (session->access.config != NULL)
		return 0;
	take_settings(session);
	while (session->key_count < OPTIONS_GIVEN_MAX &&
	       (key = option_nth(invocation, "key", session->key_count)) != NULL)
		session->keys[session->key_count++] = key;
	options.config_file = session->config_file != NULL ? session->config_file
							   : option_value(invocation, "config");
	options.settings = session->settings;
	options.setting_count = session->setting_count;
	options.keys = session->keys;
	options.command = invocation->command->name;
	/* In a listing --key selects rows by Encryption Key ID and names nothing to contact. */
	options.key_count = invocation->command->run == cmd_snapshot_list ||
					    invocation->command->run == cmd_audit_show
				    ? 0
				    : session->key_count;
	/* init takes public keys by that name. */
	if (invocation->command->run != cmd_init)
		options.recovery_key = option_value(invocation, "recovery-key");
	if (access_open_config(&session->access, &options, &error) < 0)
		return session_fail(session, &error);
	return 0;
}

int session_open_trust(struct session *session)
{
	struct store_error error = { 0 };

	return access_open_trust(&session->access, &error) < 0 ? session_fail(session, &error) : 0;
}

int session_mounts(struct session *session)
{
	const char *runtime_dir = config_runtime_dir(session->access.config);
	int r = 0;

	if (session->has_mounts)
		return 0;
	r = control_list(runtime_dir, &session->mounts);
	if (r < 0) {
		fail(session->invocation, EXIT_FAILED, "runtime directory %s: %s", runtime_dir,
		     r == -EPERM ? "it is another user's, or open to others" : strerror(-r));
		advise(session->invocation, "name another one with --runtime-dir");
		return EXIT_FAILED;
	}
	session->has_mounts = true;
	return 0;
}

int session_open_kms(struct session *session)
{
	struct store_error error = { 0 };

	return access_open_kms(&session->access, &error) < 0 ? session_fail(session, &error) : 0;
}

static void report_finding(void *arg, int priority, const char *path, const char *text)
{
	const struct invocation *invocation = arg;

	if (priority > LOG_WARNING && invocation->verbosity == 0)
		return;
	notice(invocation, "%s%s%s", path == NULL ? "" : path,
	       path == NULL || *path == '\0' ? "" : ": ", text);
}

int session_open_store(struct session *session, enum store_access access)
{
	const struct store_options options = {
		.access = access,
		.can_block = true,
		.report = report_finding,
		.report_arg = session->invocation,
	};
	struct store_error error = { 0 };

	if (access_open_store(&session->access, &options, &session->store, &error) < 0)
		return session_fail(session, &error);
	return 0;
}

int session_open_all(struct session *session, const char *volume, enum store_access access)
{
	int r = session_open_volume(session, volume);

	if (r == 0)
		r = session_open_kms(session);
	return r != 0 ? r : session_open_store(session, access);
}

int session_find_mount(struct session *session, bool must_be_writable,
		       const struct control_mount **ret_mount)
{
	struct stat stat;
	int r = session_mounts(session);

	*ret_mount = NULL;
	if (r != 0)
		return r;
	if (fstat(session->access.backing_fd, &stat) != 0)
		return fail(session->invocation, EXIT_STORAGE, "%s: %s", session->access.backing,
			    strerror(errno));
	for (size_t i = 0; i < session->mounts.count; i++) {
		const struct control_mount *mount = &session->mounts.mounts[i];

		if (control_mount_is_of(mount, stat.st_dev, stat.st_ino) &&
		    (!must_be_writable || control_mount_is_writable(mount)))
			*ret_mount = mount;
	}
	return 0;
}

int session_open_change(struct session *session, const char *volume,
			const struct control_mount **ret_mount)
{
	int r = session_open_volume(session, volume);

	if (r == 0)
		r = session_find_mount(session, true, ret_mount);
	if (r == 0)
		r = session_open_kms(session);
	if (r == 0)
		r = session_open_store(session, *ret_mount == NULL ? STORE_WRITE : STORE_READ);
	return r;
}

int session_ask(struct session *session, const struct control_mount *mount,
		struct json_object *request, int timeout_ms, struct json_object **ret_reply)
{
	struct invocation *invocation = session->invocation;
	struct json_object *reply = NULL;
	const char *message = NULL;
	int exit_code = EXIT_FAILED;
	const int r = control_ask(session->mounts.directory_fd, mount->socket, request, timeout_ms,
				  &reply, NULL);

	if (r < 0) {
		fail(invocation, EXIT_FAILED, "the mount at %s did not answer: %s",
		     control_mountpoint(mount), strerror(-r));
		advise(invocation, "see 'snapcrypt status' and the log of the mount");
		return EXIT_FAILED;
	}
	if (document_is_true(reply, "ok")) {
		*ret_reply = reply;
		return 0;
	}
	message = document_text(reply, "message");
	if (document_number(reply, "exit_code") != 0)
		exit_code = (int)document_number(reply, "exit_code");
	fail(invocation, exit_code, "%s", message == NULL ? "the mount refused" : message);
	if (document_text(reply, "advice") != NULL)
		advise(invocation, "%s", document_text(reply, "advice"));
	document_free(reply);
	return exit_code;
}

/* What a key service said about the data key that was wanted, or about making one. */
static bool find_key_failure(const struct session *session, int error, struct kms_error *key_error)
{
	const struct uuid *const wanted[] = {
		store_wanted_dek(),
		&store_volume(session->store)->volume,
	};

	if (store_deks(session->store) == NULL)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (wanted[i] != NULL &&
		    dek_ring_failure(store_deks(session->store), wanted[i], key_error) &&
		    key_error->code == error)
			return true;
	return false;
}

int session_fail_errno(struct session *session, int error, const char *what, const char *name)
{
	struct kms_error key_error = { 0 };
	struct store_error store_error = { 0 };

	if (session->store != NULL && find_key_failure(session, error, &key_error)) {
		access_key_error(error, &key_error, &store_error);
		return session_fail(session, &store_error);
	}
	if (error == -EEXIST)
		return fail(session->invocation, EXIT_FAILED, "%s %s: it is there already", what,
			    name);
	return fail(session->invocation, exit_code_from_errno(error), "%s %s: %s", what, name,
		    strerror(-error));
}

int session_audit(struct session *session, enum audit_operation operation,
		  const struct uuid *volume, const struct uuid *snapshot, const char *detail)
{
	const struct audit_entry entry = {
		.operation = operation,
		.volume = volume,
		.snapshot = snapshot,
		.detail = detail,
	};
	struct store_error error = { 0 };

	if (access_open_audit(&session->access, &error) < 0)
		return session_fail(session, &error);
	if (audit_append(session->access.audit, &entry) == 0)
		return 0;
	fail(session->invocation, EXIT_FAILED,
	     "the audit log cannot be written, and audit_on_failure is block");
	advise(session->invocation, "make room for the audit log or repair it");
	return EXIT_FAILED;
}
