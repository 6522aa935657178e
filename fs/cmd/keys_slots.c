/* SPDX-License-Identifier: Apache-2.0 */
/* keys add, keys remove, keys rewrap: other slots for stored data keys. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/key_uri.h"
#include "fs/cmd/slot_run.h"

const struct option_spec options_keys_add[] = {
	{ "snapshot", 0, "SNAPSHOT", "only the data keys that this one needs" },
	{ "role", 0, "ROLE", "alternate or recovery; as the URI says" },
	OPTION_DRY_RUN,
	{ NULL, 0, NULL, NULL },
};

const struct option_spec options_keys_remove[] = {
	{ "snapshot", 0, "SNAPSHOT", "only the data keys that this one needs" },
	OPTION_DRY_RUN,
	OPTION_YES,
	{ NULL, 0, NULL, NULL },
};

const struct option_spec options_keys_rewrap[] = {
	{ "to", 0, "URI", "the new key" },
	{ "from", 0, "KEYID", "only slots under this key; default the primary ones" },
	{ "snapshot", 0, "SNAPSHOT", "only the data keys that this one needs" },
	OPTION_DRY_RUN,
	OPTION_YES,
	{ NULL, 0, NULL, NULL },
};

/* One command, over all volumes that it names. */
struct slots_command {
	struct invocation *invocation;
	enum slot_verb verb;
	const char *uri;  /* "": none */
	const char *from; /* "": none */
	int volume_count;
	char *recovery_key; /* absolute path, or NULL */
	bool is_dry_run;
	struct json_object *volumes; /* results, with --json */
	size_t failed;
	size_t total;
	int first_exit_code; /* of what failed first */
};

/* ---- Output ------------------------------------------------------------------------------------ */

static void add_result(struct slots_command *command, const struct slot_run *run)
{
	const struct session *session = run->session;
	struct json_object *object = document_new_object();
	struct json_object *keys = document_new_array();

	document_add_uuid(object, "volume", &store_volume(session->store)->volume);
	document_add_path(object, "backing", session->access.backing);
	document_add_text(object, "encryption_key_id",
			  run->change.key_id[0] == '\0' ? NULL : run->change.key_id);
	document_add_number(object, "data_keys", run->seen);
	document_add_number(object, "to_change", run->count);
	document_add_number(object, "changed", run->changed);
	document_add_number(object, "failed", run->failed + run->unreadable);
	for (size_t i = 0; i < run->before.count; i++) {
		const struct slot_need *before = &run->before.needs[i];
		const struct slot_need *after = &run->after.needs[i];
		struct json_object *key = document_new_object();

		document_add_text(key, "key_id", before->key_id);
		document_add_number(key, "no_longer_needed_by",
				    slot_need_count_freed(before, after));
		document_add_number(key, "still_needed_by", after->count);
		document_append(keys, key);
	}
	document_add(object, "keys", keys);
	document_append(command->volumes, object);
}

static const char *plural(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void print_needs(const struct slot_run *run)
{
	for (size_t i = 0; i < run->before.count; i++) {
		const struct slot_need *before = &run->before.needs[i];
		const struct slot_need *after = &run->after.needs[i];
		const size_t freed = slot_need_count_freed(before, after);

		printf("%s is no longer needed by %zu snapshot%s", before->key_id, freed,
		       plural(freed));
		if (after->count > 0)
			printf(", still needed by %zu", after->count);
		putchar('\n');
	}
}

static void print_text(const struct slots_command *command, const struct slot_run *run)
{
	static const char *const done[] = {
		[VERB_ADD] = "got a slot",
		[VERB_REMOVE] = "lost a slot",
		[VERB_REWRAP] = "rewrapped",
	};
	const char *backing = run->session->access.backing;

	if (command->is_dry_run) {
		printf("%s: %zu of %zu data key%s would be changed%s%s\n", backing, run->count,
		       run->seen, plural(run->seen), command->verb == VERB_REMOVE ? "" : ", to ",
		       run->change.key_id);
		return;
	}
	printf("%s: %zu data key%s %s\n", backing, run->changed, plural(run->changed),
	       done[command->verb]);
	print_needs(run);
	if (run->is_configured)
		printf("New data keys get what the configuration says; change it there, too\n");
}

/* ---- One volume -------------------------------------------------------------------------------- */

static int find_snapshot(struct slot_run *run)
{
	const char *text = option_value(run->session->invocation, "snapshot");
	struct snapshot *snapshot = NULL;
	struct store_error error = { 0 };

	if (text == NULL)
		return 0;
	if (change_find_snapshot(run->session->store, text, &snapshot, NULL, &error) < 0)
		return session_fail(run->session, &error);
	run->snapshot = *snapshot_id(snapshot);
	snapshot_put(snapshot);
	return uuid_is_zero(&run->snapshot) ? fail(run->session->invocation, EXIT_USAGE,
						   "snapshot %s has no data key", text)
					    : 0;
}

static int check_plan(const struct slots_command *command, const struct slot_run *run)
{
	struct invocation *invocation = command->invocation;
	char question[KEY_ID_SIZE + 128];

	if (run->unreadable > 0)
		notice(invocation, "%zu key record%s cannot be read", run->unreadable,
		       plural(run->unreadable));
	if (command->verb != VERB_REMOVE)
		return 0;
	if (run->touches_primary) {
		fail(invocation, EXIT_POLICY, "%s is the primary key of data keys in %s",
		     run->change.from, run->session->access.backing);
		advise(invocation, "put another in its place with 'snapcrypt keys rewrap'");
		return EXIT_POLICY;
	}
	if (run->count == 0 || command->is_dry_run)
		return 0;
	snprintf(question, sizeof(question), "Remove the slots under %s from %zu data keys?",
		 run->change.from, run->count);
	return confirm(invocation, question);
}

static int prepare(const struct slots_command *command, struct slot_run *run)
{
	struct session *session = run->session;
	const struct change_target target = {
		.store = session->store,
		.trust = session->access.trust,
		.kms = session->access.kms,
		.config = session->access.config,
		.volume_name = session->access.volume_name,
	};
	struct store_error error = { 0 };

	run->change.verb = command->verb;
	/* Here the recovery key opens everything anyway; a mount needs to be told. */
	run->change.recovery_key = run->mount == NULL ? NULL : command->recovery_key;
	if (!store_is_encrypted(session->store))
		return fail(session->invocation, EXIT_USAGE,
			    "%s was made with --encryption off: it has no keys",
			    session->access.backing);
	if (slot_change_prepare(&target, &run->change, command->uri, command->from, &error) < 0)
		return session_fail(session, &error);
	return find_snapshot(run);
}

static int run_volume(struct slots_command *command, struct slot_run *run, const char *volume)
{
	const bool is_everything = !option_is_set(command->invocation, "snapshot");
	int r = session_open_change(run->session, volume, &run->mount);

	if (r == 0)
		r = prepare(command, run);
	if (r == 0)
		r = slot_run_plan(run);
	if (r == 0)
		r = check_plan(command, run);
	if (r == 0 && !command->is_dry_run && run->count > 0)
		r = slot_run_execute(run);
	if (r == 0 && !command->is_dry_run)
		r = slot_run_finish(run, is_everything && run->failed == 0);
	if (r == 0)
		r = slot_run_count_needs(run);
	return r;
}

static int take_result(struct slots_command *command, struct slot_run *run)
{
	command->failed += run->failed + run->unreadable;
	command->total += run->count;
	for (size_t i = 0; i < run->count && command->first_exit_code == 0; i++)
		if (run->items[i].is_done && run->items[i].outcome.error.code < 0)
			command->first_exit_code = run->items[i].outcome.error.exit_code;
	if (command->volumes != NULL)
		add_result(command, run);
	else if (!command->invocation->is_quiet)
		print_text(command, run);
	for (size_t i = 0; i < run->count; i++)
		if (!run->items[i].is_done && !command->is_dry_run)
			command->failed++;
	return 0;
}

static int run_one(struct slots_command *command, const char *volume)
{
	struct session session;
	struct slot_run run = { .session = &session };
	int outcome = 0;
	int r = 0;

	session_init(&session, command->invocation);
	r = run_volume(command, &run, volume);
	if (r == 0)
		r = take_result(command, &run);
	slot_run_free(&run);
	if (session.store != NULL)
		outcome = store_close(TAKE(session.store));
	if (r == 0 && outcome < 0)
		r = fail(command->invocation, EXIT_STORAGE, "%s: %s", volume, strerror(-outcome));
	session_close(&session);
	return r;
}

/* ---- The commands ------------------------------------------------------------------------------ */

static int finish(struct slots_command *command, int r)
{
	struct invocation *invocation = command->invocation;

	if (command->volumes != NULL) {
		CLEANUP(document_cleanup)
		struct json_object *output = document_new_output("snapcrypt.keys-rewrap/1");

		document_add_text(output, "command", invocation->command->name + strlen("keys "));
		document_add_bool(output, "dry_run", command->is_dry_run);
		document_add(output, "volumes", TAKE(command->volumes));
		if (r == 0)
			document_print(output, stdout);
	}
	free(command->recovery_key);
	if (r != 0 || command->failed == 0)
		return r;
	r = command->failed < command->total || command->first_exit_code == 0
		    ? EXIT_PARTIAL
		    : command->first_exit_code;
	fail(invocation, r, "%zu data key%s not changed", command->failed,
	     command->failed == 1 ? " was" : "s were");
	advise(invocation, "run the command again: it goes on with what is left");
	return r;
}

static int run_command(struct slots_command *command)
{
	struct invocation *invocation = command->invocation;
	const char *recovery_key = option_value(invocation, "recovery-key");
	int r = 0;

	command->is_dry_run = option_is_set(invocation, "dry-run");
	if (recovery_key != NULL) {
		command->recovery_key = realpath(recovery_key, NULL);
		if (command->recovery_key == NULL)
			return fail(invocation, EXIT_USAGE, "recovery key %s: %s", recovery_key,
				    strerror(errno));
	}
	if (invocation->is_json)
		command->volumes = document_new_array();
	for (int i = 0; r == 0 && i < command->volume_count; i++)
		r = run_one(command, operand(invocation, i));
	return finish(command, r);
}

int cmd_keys_rewrap(struct invocation *invocation)
{
	struct slots_command command = {
		.invocation = invocation,
		.verb = VERB_REWRAP,
		.uri = option_value(invocation, "to"),
		.from = option_value(invocation, "from"),
		.volume_count = invocation->operand_count,
	};

	if (command.uri == NULL || command.uri[0] == '\0') {
		fail(invocation, EXIT_USAGE, "keys rewrap: no new key");
		advise(invocation, "name it with --to URI");
		return EXIT_USAGE;
	}
	if (command.from == NULL)
		command.from = "";
	return run_command(&command);
}

int cmd_keys_add(struct invocation *invocation)
{
	const char *role = option_value(invocation, "role");
	struct slots_command command = {
		.invocation = invocation,
		.verb = VERB_ADD,
		.uri = operand(invocation, invocation->operand_count - 1),
		.from = "",
		.volume_count = invocation->operand_count - 1,
	};
	const bool is_recovery = strncmp(command.uri, "recovery:", strlen("recovery:")) == 0;

	if (!key_uri_is_uri(command.uri) &&
	    kms_provider_for_uri(command.uri) != kms_provider_by_name("pkcs11"))
		return fail(invocation, EXIT_USAGE, "%s is not the URI of a key", command.uri);
	if (role != NULL && strcmp(role, is_recovery ? "recovery" : "alternate") != 0) {
		fail(invocation, EXIT_USAGE, "a key like %s cannot have the role %s", command.uri,
		     role);
		advise(invocation, "recovery:///FILE.pem is recovery, all others are alternate");
		return EXIT_USAGE;
	}
	return run_command(&command);
}

int cmd_keys_remove(struct invocation *invocation)
{
	struct slots_command command = {
		.invocation = invocation,
		.verb = VERB_REMOVE,
		.uri = "",
		.from = operand(invocation, invocation->operand_count - 1),
		.volume_count = invocation->operand_count - 1,
	};

	return run_command(&command);
}
