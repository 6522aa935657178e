/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount does for a command. */
#include "fs/control/requests.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/control/adopt.h"
#include "fs/control/changes.h"
#include "fs/control/retention_change.h"
#include "fs/control/seal.h"
#include "fs/control/slot_request.h"
#include "meta/exit_code.h"

void request_refuse(struct json_object *reply, int exit_code, const char *format, ...)
{
	char text[1536];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	document_add_bool(reply, "ok", false);
	document_add_number(reply, "exit_code", (uint64_t)exit_code);
	document_add_text(reply, "message", text);
}

static void refuse_with(struct json_object *reply, const struct store_error *error)
{
	request_refuse(reply, error->exit_code == EXIT_OK ? EXIT_FAILED : error->exit_code, "%s",
		       error->text);
	document_add_text(reply, "advice", error->advice[0] == '\0' ? NULL : error->advice);
}

static struct change_target target_of(const struct control_options *options)
{
	return (struct change_target){
		.store = options->store,
		.trust = options->trust,
		.kms = options->kms,
		.config = options->config,
		.volume_name = options->name,
	};
}

/* Which mount this is, by what cannot be renamed: the backing directory and the mounted device. */
static void run_status(const struct control_options *options, const struct json_object *request,
		       struct json_object *reply)
{
	struct json_object *mount = document_new_object();
	struct json_object *keys = document_new_array();
	struct stat stat;

	(void)request;
	document_add_uuid(reply, "volume", &store_volume(options->store)->volume);
	document_add_path(reply, "backing", options->backing);
	document_add_text(reply, "name", options->name);
	if (fstat(store_root_fd(options->store), &stat) == 0) {
		document_add_number(reply, "backing_device", stat.st_dev);
		document_add_number(reply, "backing_inode", stat.st_ino);
	}
	document_add_uuid(mount, "mount", store_mount_id(options->store));
	document_add_path(mount, "mountpoint", options->mountpoint);
	document_add_number(mount, "device", options->device);
	document_add_bool(mount, "read_only", !store_is_writable(options->store));
	document_add_number(mount, "pid", (uint64_t)getpid());
	options->status(options->arg, mount, keys);
	document_add(reply, "mount", mount);
	document_add(reply, "keys", keys);
	document_add_bool(reply, "ok", true);
}

static void run_keys_test(const struct control_options *options, const struct json_object *request,
			  struct json_object *reply)
{
	(void)request;
	dek_ring_forget_failures(store_deks(options->store));
	options->probe(options->arg);
	document_add_bool(reply, "ok", true);
}

static void run_set_default(const struct control_options *options,
			    const struct json_object *request, struct json_object *reply)
{
	const struct change_target target = target_of(options);
	const char *uri = document_text(request, "uri");
	char key_id[KEY_ID_SIZE];
	struct store_error error = { 0 };

	if (uri == NULL) {
		request_refuse(reply, EXIT_USAGE, "control socket: no uri");
	} else if (change_default_key(&target, uri, key_id, &error) < 0) {
		refuse_with(reply, &error);
	} else {
		document_add_bool(reply, "ok", true);
		document_add_text(reply, "key_id", key_id);
	}
}

static void run_trust(const struct control_options *options, const struct json_object *request,
		      struct json_object *reply)
{
	const struct change_target target = target_of(options);
	const char *snapshot = document_text(request, "snapshot");
	struct store_error error = { 0 };
	size_t count = 0;

	if (snapshot == NULL) {
		request_refuse(reply, EXIT_USAGE, "control socket: no snapshot");
	} else if (change_trust_keys(&target, snapshot, &count, &error) < 0) {
		refuse_with(reply, &error);
	} else {
		document_add_bool(reply, "ok", true);
		document_add_number(reply, "count", count);
	}
}

static void run_seal(const struct control_options *options, const struct json_object *request,
		     struct json_object *reply)
{
	const char *snapshot = document_text(request, "snapshot");
	struct json_object *seal = document_new_object();
	struct seal_options how =
		options->seal_options(options->arg, document_is_true(request, "with_dependencies"));
	struct store_error error = { 0 };

	how.accepts_changed = document_is_true(request, "accept_changed");
	if (snapshot == NULL) {
		request_refuse(reply, EXIT_USAGE, "control socket: no snapshot");
	} else if (change_seal(options->store, snapshot, &how, seal, &error) < 0) {
		refuse_with(reply, &error);
	} else {
		document_add_bool(reply, "ok", true);
		document_add(reply, "seal", TAKE(seal));
	}
	document_free(seal);
}

static void run_adopt(const struct control_options *options, const struct json_object *request,
		      struct json_object *reply)
{
	const struct change_target target = target_of(options);
	const char *snapshot = document_text(request, "snapshot");
	struct store_error error = { 0 };
	struct uuid id;

	if (snapshot == NULL) {
		request_refuse(reply, EXIT_USAGE, "control socket: no snapshot");
	} else if (change_adopt(&target, snapshot, &id, &error) < 0) {
		refuse_with(reply, &error);
	} else {
		document_add_bool(reply, "ok", true);
		document_add_uuid(reply, "id", &id);
	}
}

void request_run(const struct control_options *options, const struct json_object *request,
		 struct json_object *reply)
{
	static const struct {
		const char *command;
		void (*run)(const struct control_options *, const struct json_object *,
			    struct json_object *);
		bool changes_volume;
	} requests[] = {
		{ "status", run_status, false },
		{ "keys test", run_keys_test, false },
		{ "keys set-default", run_set_default, true },
		{ "keys trust", run_trust, false },
		{ SLOT_REQUEST, slot_request_run, true },
		{ "snapshot seal", run_seal, true },
		{ ADOPT_REQUEST, run_adopt, true },
		{ DELETE_REQUEST, retention_run_delete, true },
		{ SWEEP_REQUEST, retention_run_sweep, true },
		{ LABEL_REQUEST, retention_run_label, true },
		{ POLICY_REQUEST, retention_run_policy, true },
		{ FORGET_REQUEST, retention_run_forget, false },
	};
	const char *command = document_text(request, "command");

	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		if (strcmp(command, requests[i].command) != 0)
			continue;
		if (requests[i].changes_volume && !store_is_writable(options->store))
			request_refuse(reply, EXIT_FAILED, "%s is mounted read-only",
				       options->mountpoint);
		else
			requests[i].run(options, request, reply);
		return;
	}
	request_refuse(reply, EXIT_USAGE, "the mount's version does not know '%s'", command);
}
