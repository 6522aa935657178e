/* SPDX-License-Identifier: Apache-2.0 */
/* keyring init, list, add, enable, disable, delete: the embedded local key store. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/human.h"
#include "fs/cmd/key_uri.h"
#include "fs/cmd/session.h"
#include "fs/cmd/table.h"
#include "fs/document.h"
#include "kms/keyring_passphrase.h"

const struct option_spec options_keyring_init[] = {
	{ "passphrase", 0, NULL, "protect it by a passphrase, configured or asked for" },
	{ NULL, 0, NULL, NULL },
};

const struct option_spec options_keyring_delete[] = {
	OPTION_DRY_RUN,
	OPTION_YES,
	{ NULL, 0, NULL, NULL },
};

/* Secret memory for a command that opens no volume. */
static int open_memory(struct session *session)
{
	const struct kms_options options = { 0 };
	struct kms_error error = { 0 };
	const int r = kms_open(&options, &session->access.kms, &error);

	return r < 0 ? fail_key(session->invocation, r, &error) : 0;
}

struct passphrase_question {
	enum keyring_ask ask;
	struct keyring_access *access;
};

static int find_passphrase(void *arg, const struct kms_config *config, struct kms_error *reterr)
{
	const struct passphrase_question *question = arg;

	return keyring_access_open(config, question->ask, question->access, reterr);
}

/* The passphrase of the keyring at PATH, by its [key] section if it has one. */
static int open_passphrase(struct session *session, const char *path, enum keyring_ask ask,
			   struct keyring_access *ret_access)
{
	struct invocation *invocation = session->invocation;
	struct passphrase_question question = { ask, ret_access };
	struct kms_error error = { 0 };
	char *uri = NULL;
	int r = session_open_config(session);

	if (r != 0)
		return r;
	if (asprintf(&uri, "keyring://%s", path) < 0)
		return fail(invocation, EXIT_FAILED, "out of memory");
	r = access_with_key(session->access.config, uri, find_passphrase, &question, &error);
	free(uri);
	return r < 0 ? fail_key(invocation, r, &error) : 0;
}

static int print_change(struct invocation *invocation, const char *path, const char *id)
{
	CLEANUP(document_cleanup) struct json_object *output = NULL;
	struct keyring_info *info = calloc(1, sizeof(*info));
	struct kms_error error = { 0 };
	char key_id[KEY_ID_SIZE];
	enum key_state state = KEY_STATE_UNKNOWN;
	int r = info == NULL ? -ENOMEM : keyring_file_list(path, info, &error);

	if (r < 0) {
		free(info);
		return r == -ENOMEM ? fail(invocation, EXIT_FAILED, "out of memory")
				    : fail_key(invocation, r, &error);
	}
	for (size_t i = 0; i < info->key_count; i++)
		if (strcmp(info->keys[i].id, id) == 0)
			state = info->keys[i].state;
	key_uri_keyring_id(&info->keyring, id, key_id);
	if (invocation->is_json) {
		output = document_new_output("snapcrypt.keyring-change/1");
		document_add_uuid(output, "keyring", &info->keyring);
		document_add_path(output, "path", path);
		document_add_text(output, "id", id);
		document_add_text(output, "key_id", key_id);
		document_add_text(output, "state", key_state_name(state));
		document_add_bool(output, "dry_run", option_is_set(invocation, "dry-run"));
		document_print(output, stdout);
	} else if (!invocation->is_quiet) {
		printf("%s: key %s is %s\nEncryption Key ID: %s\n", path, id, key_state_name(state),
		       key_id);
	}
	free(info);
	return EXIT_OK;
}

/* An absolute path, because it becomes part of a URI; the file need not exist. */
static int absolute_path(struct invocation *invocation, const char *path, char **ret_path)
{
	char *absolute = key_uri_absolute_path(path);

	if (absolute == NULL)
		return fail(invocation, EXIT_USAGE, "%s: %s", path, strerror(errno));
	*ret_path = absolute;
	return 0;
}

int cmd_keyring_init(struct invocation *invocation)
{
	struct session session;
	struct keyring_access access = { 0 };
	struct kms_error error = { 0 };
	char *path = NULL;
	int r = absolute_path(invocation, operand(invocation, 0), &path);

	session_init(&session, invocation);
	if (r == 0)
		r = open_memory(&session);
	if (r == 0 && option_is_set(invocation, "passphrase"))
		r = open_passphrase(&session, path, KEYRING_ASK_NEW, &access);
	if (r == 0 && keyring_file_init(path, KEY_URI_DEFAULT_ID, &access.unlock, &error) < 0)
		r = fail_key(invocation, error.code, &error);
	if (r == 0)
		r = print_change(invocation, path, KEY_URI_DEFAULT_ID);
	if (r == 0)
		notice(invocation,
		       "copy %s off this host, or the backups under its keys are lost with it",
		       path);
	keyring_access_close(&access);
	session_close(&session);
	free(path);
	return r;
}

int cmd_keyring_add(struct invocation *invocation)
{
	const char *id = operand(invocation, 1);
	struct session session;
	struct keyring_access access = { 0 };
	struct kms_error error = { 0 };
	struct keyring_info *info = calloc(1, sizeof(*info));
	char *path = NULL;
	int r = absolute_path(invocation, operand(invocation, 0), &path);

	session_init(&session, invocation);
	if (r == 0 && info == NULL)
		r = fail(invocation, EXIT_FAILED, "out of memory");
	if (r == 0)
		r = open_memory(&session);
	if (r == 0 && keyring_file_list(path, info, &error) < 0)
		r = fail_key(invocation, error.code, &error);
	if (r == 0 && info->has_passphrase)
		r = open_passphrase(&session, path, KEYRING_ASK, &access);
	if (r == 0 && keyring_file_add(path, id, &access.unlock, &error) < 0)
		r = fail_key(invocation, error.code, &error);
	if (r == 0)
		r = print_change(invocation, path, id);
	if (r == 0)
		notice(invocation, "copy %s off this host again: it holds a new key", path);
	keyring_access_close(&access);
	session_close(&session);
	free(path);
	free(info);
	return r;
}

static int set_state(struct invocation *invocation, enum key_state state)
{
	const char *id = operand(invocation, 1);
	struct session session;
	struct kms_error error = { 0 };
	char *path = NULL;
	int r = absolute_path(invocation, operand(invocation, 0), &path);

	session_init(&session, invocation);
	if (r == 0)
		r = open_memory(&session);
	if (r == 0 && keyring_file_set_state(path, id, state, &error) < 0)
		r = fail_key(invocation, error.code, &error);
	if (r == 0)
		r = print_change(invocation, path, id);
	session_close(&session);
	free(path);
	return r;
}

int cmd_keyring_enable(struct invocation *invocation)
{
	return set_state(invocation, KEY_STATE_ENABLED);
}

int cmd_keyring_disable(struct invocation *invocation)
{
	return set_state(invocation, KEY_STATE_DISABLED);
}

static int show_unchanged(struct invocation *invocation, const char *path)
{
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = open_memory(&session);
	if (r == 0)
		r = print_change(invocation, path, operand(invocation, 1));
	if (r == 0)
		notice(invocation, "nothing was deleted");
	session_close(&session);
	return r;
}

int cmd_keyring_delete(struct invocation *invocation)
{
	char question[PATH_MAX + 256];
	char *path = NULL;
	int r = absolute_path(invocation, operand(invocation, 0), &path);

	if (r != 0)
		return r;
	if (option_is_set(invocation, "dry-run")) {
		r = show_unchanged(invocation, path);
		free(path);
		return r;
	}
	snprintf(question, sizeof(question),
		 "Delete key %s of %s? Snapshots under it are lost for ever.",
		 operand(invocation, 1), path);
	free(path);
	r = confirm(invocation, question);
	return r != 0 ? r : set_state(invocation, KEY_STATE_DELETED);
}

static int print_list(struct invocation *invocation, const char *path,
		      const struct keyring_info *info)
{
	static const struct table_column columns[] = {
		{ "ID", false },
		{ "STATE", false },
		{ "CREATED", false },
		{ "ENCRYPTION KEY ID", false },
	};
	CLEANUP(table_cleanup) struct table *table = NULL;
	int r = table_new(columns, ARRAY_SIZE(columns), &table);

	for (size_t i = 0; r == 0 && i < info->key_count; i++) {
		const struct keyring_key *key = &info->keys[i];
		char key_id[KEY_ID_SIZE];
		char created[HUMAN_SIZE];

		key_uri_keyring_id(&info->keyring, key->id, key_id);
		r = table_add(table,
			      (const char *const[]){ key->id, key_state_name(key->state),
						     human_time(key->created_s, created), key_id });
	}
	if (r < 0)
		return fail(invocation, EXIT_FAILED, "%s: %s", path, strerror(-r));
	table_print(table);
	return EXIT_OK;
}

static void print_list_json(const char *path, const struct keyring_info *info)
{
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.keyring-list/1");
	struct json_object *keys = document_new_array();

	document_add_uuid(output, "keyring", &info->keyring);
	document_add_path(output, "path", path);
	document_add_text(output, "protection", info->has_passphrase ? "passphrase" : "mode");
	for (size_t i = 0; i < info->key_count; i++) {
		struct json_object *key = document_new_object();
		char key_id[KEY_ID_SIZE];

		key_uri_keyring_id(&info->keyring, info->keys[i].id, key_id);
		document_add_text(key, "id", info->keys[i].id);
		document_add_text(key, "key_id", key_id);
		document_add_text(key, "state", key_state_name(info->keys[i].state));
		document_add_time(key, "created", info->keys[i].created_s);
		document_append(keys, key);
	}
	document_add(output, "keys", keys);
	document_print(output, stdout);
}

int cmd_keyring_list(struct invocation *invocation)
{
	struct keyring_info *info = calloc(1, sizeof(*info));
	struct kms_error error = { 0 };
	struct session session;
	char *path = NULL;
	int r = absolute_path(invocation, operand(invocation, 0), &path);

	session_init(&session, invocation);
	if (r == 0)
		r = open_memory(&session);
	if (r == 0 && info == NULL)
		r = fail(invocation, EXIT_FAILED, "out of memory");
	if (r == 0 && keyring_file_list(path, info, &error) < 0)
		r = fail_key(invocation, error.code, &error);
	if (r == 0 && invocation->is_json)
		print_list_json(path, info);
	else if (r == 0)
		r = print_list(invocation, path, info);
	session_close(&session);
	free(info);
	free(path);
	return r;
}
