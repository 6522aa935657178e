/* SPDX-License-Identifier: Apache-2.0 */
/* keys set-default, keys trust: run by the mount where there is one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/session.h"
#include "fs/control/changes.h"

#define CHANGE_TIMEOUT_MS 120000

const struct option_spec options_yes[] = {
	OPTION_YES,
	{ NULL, 0, NULL, NULL },
};

static struct change_target target_of(struct session *session)
{
	return (struct change_target){
		.store = session->store,
		.trust = session->access.trust,
		.kms = session->access.kms,
		.config = session->access.config,
		.volume_name = session->access.volume_name,
	};
}

static void print_change(const struct session *session, const char *command, const char *key_id,
			 const char *snapshot, uint64_t count)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.keys-change/1");

	document_add_text(output, "command", command);
	document_add_uuid(output, "volume", &store_volume(session->store)->volume);
	document_add_text(output, "encryption_key_id", key_id);
	document_add_path(output, "snapshot", snapshot);
	document_add_number(output, "data_keys", count);
	document_print(output, stdout);
}

/* ---- set-default ------------------------------------------------------------------------------------ */

static int set_default_in_mount(struct session *session, const struct control_mount *mount,
				const char *uri, char key_id[static KEY_ID_SIZE])
{
	CLEANUP(document_cleanup) struct json_object *request = document_new_object();
	CLEANUP(document_cleanup) struct json_object *reply = NULL;
	const char *answer = NULL;
	int r = 0;

	document_add_text(request, "command", "keys set-default");
	document_add_text(request, "uri", uri);
	r = session_ask(session, mount, request, CHANGE_TIMEOUT_MS, &reply);
	if (r != 0)
		return r;
	answer = document_text(reply, "key_id");
	snprintf(key_id, KEY_ID_SIZE, "%s", answer == NULL ? "" : answer);
	return 0;
}

static int set_default_here(struct session *session, const char *uri,
			    char key_id[static KEY_ID_SIZE])
{
	const struct change_target target = target_of(session);
	struct store_error error = { 0 };

	return change_default_key(&target, uri, key_id, &error) < 0 ? session_fail(session, &error)
								    : 0;
}

int cmd_keys_set_default(struct invocation *invocation)
{
	const char *uri = operand(invocation, 1);
	const struct control_mount *mount = NULL;
	struct session session;
	char key_id[KEY_ID_SIZE] = "";
	int r = 0;

	session_init(&session, invocation);
	r = session_open_change(&session, operand(invocation, 0), &mount);
	if (r == 0)
		r = mount != NULL ? set_default_in_mount(&session, mount, uri, key_id)
				  : set_default_here(&session, uri, key_id);
	if (r == 0 && invocation->is_json)
		print_change(&session, "set-default", key_id, NULL, 0);
	else if (r == 0 && !invocation->is_quiet)
		printf("New snapshots get their data keys from %s\n", key_id);
	session_close(&session);
	return r;
}

/* ---- trust ------------------------------------------------------------------------------------------ */

static int trust_in_mount(struct session *session, const struct control_mount *mount,
			  const char *snapshot, uint64_t *ret_count)
{
	CLEANUP(document_cleanup) struct json_object *request = document_new_object();
	CLEANUP(document_cleanup) struct json_object *reply = NULL;
	int r = 0;

	document_add_text(request, "command", "keys trust");
	document_add_text(request, "snapshot", snapshot);
	r = session_ask(session, mount, request, CHANGE_TIMEOUT_MS, &reply);
	if (r == 0)
		*ret_count = document_number(reply, "count");
	return r;
}

static int trust_here(struct session *session, const char *snapshot, uint64_t *ret_count)
{
	const struct change_target target = target_of(session);
	struct store_error error = { 0 };
	size_t count = 0;

	if (change_trust_keys(&target, snapshot, &count, &error) < 0)
		return session_fail(session, &error);
	*ret_count = count;
	return 0;
}

int cmd_keys_trust(struct invocation *invocation)
{
	const char *snapshot = operand(invocation, 1);
	const struct control_mount *mount = NULL;
	struct session session;
	char question[512];
	uint64_t count = 0;
	int r = 0;

	snprintf(question, sizeof(question),
		 "Trust the data keys of %s, which may come from another host, for writing?",
		 snapshot);
	session_init(&session, invocation);
	r = session_open_volume(&session, operand(invocation, 0));
	/* It changes this host's state only, so a read-only volume will do where nobody has it open. */
	if (r == 0)
		r = session_find_mount(&session, true, &mount);
	if (r == 0)
		r = session_open_kms(&session);
	if (r == 0)
		r = session_open_store(&session, STORE_READ);
	if (r == 0)
		r = confirm(invocation, question);
	if (r == 0)
		r = mount != NULL ? trust_in_mount(&session, mount, snapshot, &count)
				  : trust_here(&session, snapshot, &count);
	if (r == 0 && invocation->is_json)
		print_change(&session, "trust", NULL, snapshot, count);
	else if (r == 0 && !invocation->is_quiet)
		printf("%s: %" PRIu64 " data key%s trusted\n", snapshot, count,
		       count == 1 ? " is now" : "s are now");
	session_close(&session);
	return r;
}
