/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of slots through the socket of a mount. */
#include "fs/control/slot_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "meta/exit_code.h"

static const char *const verbs[] = {
	[VERB_ADD] = "add",
	[VERB_REMOVE] = "remove",
	[VERB_REWRAP] = "rewrap",
};

/* ---- The command's side ------------------------------------------------------------------------ */

struct json_object *slot_request_new(const struct slot_change *change, const struct uuid *deks,
				     size_t dek_count, bool settings, bool finish)
{
	struct json_object *request = document_new_object();
	struct json_object *list = document_new_array();

	document_add_text(request, "command", SLOT_REQUEST);
	document_add_text(request, "verb", verbs[change->verb]);
	document_add_text(request, "uri", change->uri);
	document_add_text(request, "key_id", change->key_id);
	document_add_text(request, "from", change->from);
	document_add_text(request, "recovery_key", change->recovery_key);
	for (size_t i = 0; i < dek_count; i++) {
		struct json_object *item = document_new_object();

		document_add_uuid(item, "dek", &deks[i]);
		document_append(list, item);
	}
	document_add(request, "deks", list);
	document_add_bool(request, "settings", settings);
	document_add_bool(request, "finish", finish);
	return request;
}

void slot_request_outcome(const struct json_object *reply, size_t index,
			  struct slot_outcome *ret_outcome)
{
	const struct json_object *item = document_element(document_member(reply, "deks"), index);
	const char *message = item == NULL ? "the mount gave no answer"
					   : document_text(item, "message");
	const char *advice = item == NULL ? NULL : document_text(item, "advice");

	*ret_outcome = (struct slot_outcome){ 0 };
	if (item != NULL)
		ret_outcome->work = (enum slot_work)document_number(item, "work");
	if (message == NULL)
		return;
	store_fail(&ret_outcome->error, -EIO,
		   item == NULL ? EXIT_FAILED : (enum exit_code)document_number(item, "exit_code"),
		   "%s", message);
	store_advise(&ret_outcome->error, "%s", advice == NULL ? "" : advice);
}

/* ---- The mount's side -------------------------------------------------------------------------- */

static bool copy_text(const struct json_object *request, const char *name,
		      char to[static KEY_ID_SIZE])
{
	const char *text = document_text(request, name);

	if (text == NULL || strlen(text) >= KEY_ID_SIZE)
		return false;
	strcpy(to, text);
	return true;
}

static bool read_change(const struct json_object *request, struct slot_change *change)
{
	const char *verb = document_text(request, "verb");

	for (size_t i = 0; verb != NULL && i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(verb, verbs[i]) != 0)
			continue;
		change->verb = (enum slot_verb)i;
		change->recovery_key = document_text(request, "recovery_key");
		return copy_text(request, "uri", change->uri) &&
		       copy_text(request, "key_id", change->key_id) &&
		       copy_text(request, "from", change->from);
	}
	return false;
}

static void refuse_with(struct json_object *reply, const struct store_error *error)
{
	request_refuse(reply, error->exit_code == EXIT_OK ? EXIT_FAILED : error->exit_code, "%s",
		       error->text);
	document_add_text(reply, "advice", error->advice[0] == '\0' ? NULL : error->advice);
}

static struct json_object *run_one(const struct change_target *target,
				   const struct slot_change *change, const struct json_object *item)
{
	struct json_object *answer = document_new_object();
	const char *text = document_text(item, "dek");
	enum slot_work work = SLOT_WORK_NONE;
	struct store_error error = { 0 };
	struct uuid dek;
	int r = text == NULL ? -EINVAL : uuid_parse(text, &dek);

	if (r < 0)
		store_fail(&error, r, EXIT_USAGE, "control socket: no data key");
	else
		r = slot_change_apply(target, change, &dek, &work, &error);
	document_add_text(answer, "dek", text);
	document_add_number(answer, "work", work);
	if (r < 0) {
		document_add_text(answer, "message", error.text);
		document_add_number(answer, "exit_code", (uint64_t)error.exit_code);
		document_add_text(answer, "advice", error.advice[0] == '\0' ? NULL : error.advice);
	}
	return answer;
}

static int run_rest(const struct change_target *target, const struct slot_change *change,
		    const struct json_object *request, struct json_object *reply,
		    struct store_error *reterr)
{
	bool is_configured = false;
	int r = 0;

	if (document_is_true(request, "settings"))
		r = slot_change_settings(target, change, &is_configured, reterr);
	if (r == 0 && document_is_true(request, "finish"))
		r = slot_change_finish(target, reterr);
	document_add_bool(reply, "is_configured", is_configured);
	return r;
}

void slot_request_run(const struct control_options *options, const struct json_object *request,
		      struct json_object *reply)
{
	const struct change_target target = {
		.store = options->store,
		.trust = options->trust,
		.kms = options->kms,
		.config = options->config,
		.volume_name = options->name,
	};
	const struct json_object *deks = document_member(request, "deks");
	struct json_object *list = NULL;
	struct slot_change change = { 0 };
	struct store_error error = { 0 };

	if (!read_change(request, &change)) {
		request_refuse(reply, EXIT_USAGE, "control socket: not a change of slots");
		return;
	}
	if (slot_change_allow(&target, &change, &error) < 0) {
		refuse_with(reply, &error);
		return;
	}
	list = document_new_array();
	for (size_t i = 0; deks != NULL && i < document_length(deks) && i < SLOT_REQUEST_DEKS; i++)
		document_append(list, run_one(&target, &change, document_element(deks, i)));
	document_add(reply, "deks", list);
	if (run_rest(&target, &change, request, reply, &error) < 0)
		refuse_with(reply, &error);
	else
		document_add_bool(reply, "ok", true);
}
