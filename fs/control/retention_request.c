/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting, labels and rules: what a mount does for a command. */
#include <stdlib.h>
#include <string.h>

#include "fs/control/retention_change.h"
#include "meta/exit_code.h"

static struct change_target target_of(const struct control_options *options)
{
	return (struct change_target){
		.store = options->store,
		.trust = options->trust,
		.kms = options->kms,
		.config = options->config,
		.volume_name = options->name,
		.removed = options->removed,
		.arg = options->arg,
	};
}

static void answer(struct json_object *reply, int result, const struct store_error *error)
{
	if (result == 0) {
		document_add_bool(reply, "ok", true);
		return;
	}
	request_refuse(reply, error->exit_code == EXIT_OK ? EXIT_FAILED : error->exit_code, "%s",
		       error->text);
	document_add_text(reply, "advice", error->advice[0] == '\0' ? NULL : error->advice);
}

static struct json_object *uuid_array(const struct uuid *uuids, size_t count)
{
	struct json_object *array = document_new_array();

	for (size_t i = 0; i < count; i++) {
		char text[UUID_TEXT_SIZE];

		uuid_format(&uuids[i], text);
		document_append_text(array, text);
	}
	return array;
}

void sweep_document(const struct sweep *sweep, struct json_object *object)
{
	struct json_object *key_ids = document_new_array();

	for (size_t i = 0; i < sweep->key_id_count; i++)
		document_append_text(key_ids, sweep->key_ids[i]);
	document_add(object, "data_keys", uuid_array(sweep->deks, sweep->dek_count));
	document_add(object, "encryption_key_ids", key_ids);
	document_add_number(object, "markers", sweep->markers);
}

void retention_run_delete(const struct control_options *options, const struct json_object *request,
			  struct json_object *reply)
{
	const struct change_target target = target_of(options);
	const char *reason = document_text(request, "reason");
	const struct delete_change change = {
		.snapshot = document_text(request, "snapshot"),
		.reason = reason == NULL ? "" : reason,
		.shreds = document_is_true(request, "shred"),
		.by_rules = document_is_true(request, "by_rules"),
	};
	struct store_error error = { 0 };
	struct uuid *shredded = NULL;
	size_t count = 0;
	int r = 0;

	if (change.snapshot == NULL) {
		request_refuse(reply, EXIT_USAGE, "control socket: no snapshot");
		return;
	}
	r = change_delete(&target, &change, &shredded, &count, &error);
	answer(reply, r, &error);
	if (r == 0)
		document_add(reply, "shredded", uuid_array(shredded, count));
	free(shredded);
}

void retention_run_sweep(const struct control_options *options, const struct json_object *request,
			 struct json_object *reply)
{
	struct store_error error = { 0 };
	struct sweep sweep = { 0 };
	const int r = store_sweep(options->store, &sweep, &error);

	(void)request;
	answer(reply, r, &error);
	if (r == 0)
		sweep_document(&sweep, reply);
	sweep_free(&sweep);
}

void retention_run_label(const struct control_options *options, const struct json_object *request,
			 struct json_object *reply)
{
	const struct change_target target = target_of(options);
	const char *snapshot = document_text(request, "snapshot");
	const char *action = document_text(request, "action");
	const char *text = document_text(request, "text");
	const char *reason = document_text(request, "reason");
	struct label_change change = {
		.text = text == NULL ? "" : text,
		.reason = reason == NULL ? "" : reason,
		.keep_until_s = (int64_t)document_number(request, "keep_until_s"),
	};
	struct store_error error = { 0 };
	bool is_known = false;

	for (int i = LABEL_TAG; action != NULL && i <= LABEL_KEEP; i++)
		if (strcmp(action, label_action_name((enum label_action)i)) == 0) {
			change.action = (enum label_action)i;
			is_known = true;
		}
	if (snapshot == NULL || !is_known)
		request_refuse(reply, EXIT_USAGE, "control socket: no snapshot or no such action");
	else
		answer(reply, change_labels(&target, snapshot, &change, &error), &error);
}

void retention_run_policy(const struct control_options *options, const struct json_object *request,
			  struct json_object *reply)
{
	const struct change_target target = target_of(options);
	const char *policy = document_text(request, "policy");
	struct store_error error = { 0 };

	if (policy == NULL)
		request_refuse(reply, EXIT_USAGE, "control socket: no policy");
	else
		answer(reply, change_policy(&target, policy, &error), &error);
}

/* Data keys whose wrapped copies are gone: nobody is to read with what is left in memory. */
void retention_run_forget(const struct control_options *options, const struct json_object *request,
			  struct json_object *reply)
{
	const struct json_object *deks = document_member(request, "data_keys");

	for (size_t i = 0; deks != NULL && i < document_length(deks); i++) {
		const char *text = document_element_text(deks, i);
		struct uuid id;

		if (text != NULL && uuid_parse(text, &id) == 0 &&
		    store_deks(options->store) != NULL)
			dek_ring_revoke(store_deks(options->store), &id, KEY_STATE_DELETED);
	}
	document_add_bool(reply, "ok", true);
}
