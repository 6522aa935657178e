/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot seal: finish snapshots. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/human.h"
#include "fs/cmd/session.h"
#include "fs/control/seal.h"

#define SEAL_TIMEOUT_MS (-1) /* as long as it takes: content may have to be read */

const struct option_spec options_snapshot_seal[] = {
	{ "with-dependencies", 0, NULL,
	  "first seal open snapshots that files of this one are linked from" },
	{ "accept-changed", 0, NULL,
	  "seal files as they are on storage, also where this host wrote something else" },
	{ NULL, 0, NULL, NULL },
};

static int seal_in_mount(struct session *session, const struct control_mount *mount,
			 const char *name, struct json_object **ret_seal)
{
	CLEANUP(document_cleanup) struct json_object *request = document_new_object();
	CLEANUP(document_cleanup) struct json_object *reply = NULL;
	int r = 0;

	document_add_text(request, "command", "snapshot seal");
	document_add_text(request, "snapshot", name);
	document_add_bool(request, "with_dependencies",
			  option_is_set(session->invocation, "with-dependencies"));
	document_add_bool(request, "accept_changed",
			  option_is_set(session->invocation, "accept-changed"));
	r = session_ask(session, mount, request, SEAL_TIMEOUT_MS, &reply);
	if (r != 0)
		return r;
	*ret_seal = document_share(document_member(reply, "seal"));
	return 0;
}

static int seal_here(struct session *session, const char *name, struct json_object **ret_seal)
{
	const struct seal_options options = {
		.seals_dependencies = option_is_set(session->invocation, "with-dependencies"),
		.accepts_changed = option_is_set(session->invocation, "accept-changed"),
	};
	struct json_object *object = document_new_object();
	struct store_error error = { 0 };

	if (change_seal(session->store, name, &options, object, &error) < 0) {
		document_free(object);
		return session_fail(session, &error);
	}
	*ret_seal = object;
	return 0;
}

static void print_seal(const struct json_object *seal)
{
	char size[HUMAN_SIZE];

	printf("Snapshot: %s\nRoot:     %s\nSeal:     %" PRIu64 "\nContent:  %s in %" PRIu64
	       " files, %" PRIu64 " remembered, %" PRIu64 " read again\n",
	       document_text(seal, "snapshot"), document_text(seal, "root"),
	       document_number(seal, "sequence"), human_bytes(document_number(seal, "bytes"), size),
	       document_number(seal, "files"), document_number(seal, "remembered"),
	       document_number(seal, "reread"));
}

static int seal_all(struct session *session, const struct control_mount *mount,
		    struct json_object *list)
{
	const struct invocation *invocation = session->invocation;

	for (int i = 1; i < invocation->operand_count; i++) {
		struct json_object *seal = NULL;
		const char *name = operand(invocation, i);
		const int r = mount != NULL ? seal_in_mount(session, mount, name, &seal)
					    : seal_here(session, name, &seal);

		if (r != 0)
			return r;
		if (!invocation->is_json && !invocation->is_quiet)
			print_seal(seal);
		document_append(list, seal);
	}
	return 0;
}

int cmd_snapshot_seal(struct invocation *invocation)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.snapshot-seal/1");
	struct json_object *list = document_new_array();
	const struct control_mount *mount = NULL;
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_volume(&session, operand(invocation, 0));
	if (r == 0)
		r = session_find_mount(&session, true, &mount);
	if (r == 0)
		r = session_open_kms(&session);
	if (r == 0)
		r = session_open_store(&session, mount == NULL ? STORE_WRITE : STORE_READ);
	if (r == 0) {
		document_add_uuid(output, "volume", &store_volume(session.store)->volume);
		r = seal_all(&session, mount, list);
	}
	document_add(output, "snapshots", list);
	/* Those that were sealed before one failed are sealed: said all the same. */
	if (invocation->is_json && (r == 0 || document_length(list) > 0))
		document_print(output, stdout);
	session_close(&session);
	return r;
}
