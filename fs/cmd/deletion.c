/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting, sweeping and labels: here or in the mount. */
#include "fs/cmd/deletion.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/store/need_scan.h"

#define FORGET_TIMEOUT_MS 10000
#define LABEL_TIMEOUT_MS  60000

struct change_target deletion_target(const struct deletion *deletion)
{
	struct session *session = deletion->session;

	return (struct change_target){
		.store = session->store,
		.trust = session->access.trust,
		.kms = session->access.kms,
		.config = session->access.config,
		.volume_name = session->access.volume_name,
	};
}

/* ---- One deletion -------------------------------------------------------------------------------- */

static int run_in_mount(const struct deletion *deletion, const struct delete_change *change,
			struct json_object **ret_shredded)
{
	CLEANUP(document_cleanup) struct json_object *request = document_new_object();
	CLEANUP(document_cleanup) struct json_object *reply = NULL;
	struct json_object *shredded = NULL;
	int r = 0;

	document_add_text(request, "command", DELETE_REQUEST);
	document_add_text(request, "snapshot", change->snapshot);
	document_add_text(request, "reason", change->reason);
	document_add_bool(request, "shred", change->shreds);
	document_add_bool(request, "by_rules", change->by_rules);
	r = session_ask(deletion->session, deletion->mount, request, -1, &reply);
	if (r != 0)
		return r;
	shredded = document_member(reply, "shredded");
	*ret_shredded = shredded == NULL ? document_new_array() : document_share(shredded);
	return 0;
}

static int run_here(const struct deletion *deletion, const struct delete_change *change,
		    struct json_object **ret_shredded)
{
	const struct change_target target = deletion_target(deletion);
	struct json_object *shredded = document_new_array();
	struct store_error error = { 0 };
	struct uuid *deks = NULL;
	size_t count = 0;
	const int r = change_delete(&target, change, &deks, &count, &error);

	if (r < 0) {
		document_free(shredded);
		return session_fail(deletion->session, &error);
	}
	for (size_t i = 0; i < count; i++) {
		char text[UUID_TEXT_SIZE];

		uuid_format(&deks[i], text);
		document_append_text(shredded, text);
	}
	free(deks);
	*ret_shredded = shredded;
	return 0;
}

/* Other mounts of the same directory read with what they have in memory until they are told. */
static void tell_mounts(const struct deletion *deletion, struct json_object *deks)
{
	struct session *session = deletion->session;
	struct stat stat;

	if (document_length(deks) == 0 || fstat(session->access.backing_fd, &stat) != 0)
		return;
	for (size_t i = 0; i < session->mounts.count; i++) {
		const struct control_mount *mount = &session->mounts.mounts[i];
		CLEANUP(document_cleanup) struct json_object *request = document_new_object();
		CLEANUP(document_cleanup) struct json_object *reply = NULL;

		if (mount == deletion->mount ||
		    !control_mount_is_of(mount, stat.st_dev, stat.st_ino))
			continue;
		document_add_text(request, "command", FORGET_REQUEST);
		document_add(request, "data_keys", document_share(deks));
		if (control_ask(session->mounts.directory_fd, mount->socket, request,
				FORGET_TIMEOUT_MS, &reply, NULL) < 0)
			notice(session->invocation,
			       "the mount at %s could not be told: it may read with the shredded key "
			       "until it is unmounted",
			       control_mountpoint(mount));
	}
}

int deletion_run(const struct deletion *deletion, const struct delete_change *change,
		 struct json_object **ret_shredded)
{
	const int r = deletion->mount != NULL ? run_in_mount(deletion, change, ret_shredded)
					      : run_here(deletion, change, ret_shredded);

	if (r == 0 && change->shreds)
		tell_mounts(deletion, *ret_shredded);
	return r;
}

/* ---- Sweeping ------------------------------------------------------------------------------------ */

static int sweep_here(const struct deletion *deletion, struct json_object **ret_sweep)
{
	struct store_error error = { 0 };
	struct sweep sweep = { 0 };

	if (store_sweep(deletion->session->store, &sweep, &error) < 0)
		return session_fail(deletion->session, &error);
	*ret_sweep = document_new_object();
	sweep_document(&sweep, *ret_sweep);
	sweep_free(&sweep);
	return 0;
}

int deletion_sweep(const struct deletion *deletion, struct json_object **ret_sweep)
{
	CLEANUP(document_cleanup) struct json_object *request = document_new_object();

	if (deletion->mount == NULL)
		return sweep_here(deletion, ret_sweep);
	document_add_text(request, "command", SWEEP_REQUEST);
	return session_ask(deletion->session, deletion->mount, request, -1, ret_sweep);
}

/* ---- Labels -------------------------------------------------------------------------------------- */

int deletion_label(const struct deletion *deletion, const char *snapshot,
		   const struct label_change *change)
{
	const struct change_target target = deletion_target(deletion);
	CLEANUP(document_cleanup) struct json_object *request = NULL;
	CLEANUP(document_cleanup) struct json_object *reply = NULL;
	struct store_error error = { 0 };

	if (deletion->mount == NULL)
		return change_labels(&target, snapshot, change, &error) < 0
			       ? session_fail(deletion->session, &error)
			       : 0;
	request = document_new_object();
	document_add_text(request, "command", LABEL_REQUEST);
	document_add_text(request, "snapshot", snapshot);
	document_add_text(request, "action", label_action_name(change->action));
	document_add_text(request, "text", change->text);
	document_add_text(request, "reason", change->reason);
	document_add_number(request, "keep_until_s", (uint64_t)change->keep_until_s);
	return session_ask(deletion->session, deletion->mount, request, LABEL_TIMEOUT_MS, &reply);
}

/* ---- Keys that nothing needs --------------------------------------------------------------------- */

static bool is_in_need(const struct need_list *list, const char *key_id)
{
	if (strcmp(list->default_key_id, key_id) == 0)
		return true;
	for (size_t i = 0; i < list->use_count; i++)
		if (list->uses[i].role == SLOT_PRIMARY &&
		    strcmp(list->keys[list->uses[i].key].key_id, key_id) == 0)
			return true;
	return false;
}

int deletion_unneeded_keys(const struct deletion *deletion, const struct json_object *sweep,
			   struct json_object **ret_key_ids)
{
	const struct json_object *removed = document_member(sweep, "encryption_key_ids");
	struct session *session = deletion->session;
	struct json_object *key_ids = document_new_array();
	struct store_error error = { 0 };
	struct need_list list = { 0 };

	if (removed == NULL || document_length(removed) == 0) {
		*ret_key_ids = key_ids;
		return 0;
	}
	if (need_scan(session->access.backing_fd, session->access.trust, &list, &error) < 0) {
		document_free(key_ids);
		return session_fail(session, &error);
	}
	for (size_t i = 0; need_list_is_complete(&list) && i < document_length(removed); i++) {
		const char *key_id = document_element_text(removed, i);

		if (key_id != NULL && !is_in_need(&list, key_id))
			document_append_text(key_ids, key_id);
	}
	need_list_free(&list);
	*ret_key_ids = key_ids;
	return 0;
}

void deletion_print_unneeded(const struct json_object *key_ids)
{
	for (size_t i = 0; i < document_length(key_ids); i++)
		printf("No longer needed by anything in this volume: %s\n",
		       document_element_text(key_ids, i));
	if (document_length(key_ids) > 0)
		printf("Before a key is deleted, 'snapcrypt keys check KEYID' says whether another "
		       "volume needs it.\n");
}
