/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that this host knows. */
#include "fs/cmd/key_rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/key_uri.h"
#include "fs/store/key_list.h"
#include "fs/store/snapshot.h"
#include "kms/keyring_file.h"
#include "meta/key_id.h"

#define ROWS_MAX 10000

void key_rows_free(struct key_rows *rows)
{
	free(rows->rows);
	*rows = (struct key_rows){ 0 };
}

const struct key_row *key_rows_find(const struct key_rows *rows, const char *text)
{
	for (size_t i = 0; i < rows->count; i++)
		if (strcmp(rows->rows[i].uri, text) == 0 ||
		    key_id_matches(rows->rows[i].info.key_id, text))
			return &rows->rows[i];
	return NULL;
}

static int add_row(struct key_rows *rows, const struct key_row *row)
{
	struct key_row *more = NULL;

	if (rows->count == ROWS_MAX)
		return -E2BIG;
	more = reallocarray(rows->rows, rows->count + 1, sizeof(*more));
	if (more == NULL)
		return -ENOMEM;
	rows->rows = more;
	rows->rows[rows->count++] = *row;
	return 0;
}

static bool has_row(const struct key_rows *rows, const char *uri, const char *key_id)
{
	for (size_t i = 0; i < rows->count; i++) {
		if (uri[0] != '\0' && strcmp(rows->rows[i].uri, uri) == 0)
			return true;
		if (key_id[0] != '\0' && strcmp(rows->rows[i].info.key_id, key_id) == 0)
			return true;
	}
	return false;
}

/* What the service says, or what it said last. */
static void fill_info(struct session *session, bool is_live, struct key_row *row)
{
	const struct access *access = &session->access;
	struct kms_error error = { 0 };
	struct kms_key_info info = { 0 };

	if ((is_live || strcmp(row->provider, "keyring") == 0) && row->uri[0] != '\0') {
		const int r = kms_describe(access->kms, row->uri, &info, &error);

		if (info.key_id[0] == '\0')
			strcpy(info.key_id, row->info.key_id);
		if (r < 0 && r != -ENOTSUP)
			info.state = error.state;
		row->info = info;
		return;
	}
	if (row->info.key_id[0] != '\0')
		row->info.state = trust_key_state(access->trust, row->info.key_id, &row->since_s);
}

/* What host state knows of a URI that a section named before: under which id it was last seen. */
static void learn_id(struct session *session, const char *uri, const char *key_id,
		     struct key_rows *rows)
{
	for (size_t i = 0; key_id != NULL && i < rows->count; i++) {
		struct key_row *row = &rows->rows[i];

		if (strcmp(row->uri, uri) != 0 || row->info.key_id[0] != '\0')
			continue;
		snprintf(row->info.key_id, sizeof(row->info.key_id), "%s", key_id);
		fill_info(session, false, row);
	}
}

static int add_uri(struct session *session, bool is_live, const char *uri, const char *key_id,
		   struct key_rows *rows)
{
	const struct kms_provider *provider = kms_provider_for_uri(uri);
	struct key_row row = { 0 };

	learn_id(session, uri, key_id, rows);
	if (strlen(uri) >= sizeof(row.uri) || has_row(rows, uri, ""))
		return 0;
	strcpy(row.uri, uri);
	snprintf(row.info.key_id, sizeof(row.info.key_id), "%s", key_id == NULL ? "" : key_id);
	snprintf(row.provider, sizeof(row.provider), "%s", provider == NULL ? "" : provider->name);
	fill_info(session, is_live, &row);
	if (has_row(rows, "", row.info.key_id))
		return 0;
	return add_row(rows, &row);
}

/* Every key of the keyring, not only those that were used. */
static int add_keyring(struct session *session, struct key_rows *rows)
{
	const struct access *access = &session->access;
	struct keyring_info *info = calloc(1, sizeof(*info));
	struct kms_error ignored = { 0 };
	char *path = NULL;
	int r = info == NULL ? -ENOMEM
			     : config_state_path(access->config, access->volume_name, "keyring",
						 "keyring", &path);

	if (r == 0 && keyring_file_list(path, info, &ignored) == 0) {
		for (size_t i = 0; r == 0 && i < info->key_count; i++) {
			struct key_row row = { .provider = "keyring" };

			snprintf(row.uri, sizeof(row.uri), "keyring://%s#%s", path,
				 info->keys[i].id);
			key_uri_keyring_id(&info->keyring, info->keys[i].id, row.info.key_id);
			row.info.state = info->keys[i].state;
			row.info.created_s = info->keys[i].created_s;
			row.since_s = info->keys[i].changed_s;
			if (!has_row(rows, row.uri, row.info.key_id))
				r = add_row(rows, &row);
		}
	}
	free(path);
	free(info);
	return r;
}

int key_rows_collect(struct session *session, bool is_live, struct key_rows *rows)
{
	const struct access *access = &session->access;
	const char *key = config_text(access->config, access->volume_name, "key");
	struct kek_list keks = { 0 };
	int r = add_keyring(session, rows);

	for (size_t i = 0; r == 0 && i < config_key_count(access->config); i++) {
		size_t count = 0;
		const struct config_setting *settings = config_key_settings(
			access->config, config_key_name(access->config, i), &count);

		if (count > 0)
			r = add_uri(session, is_live, settings[0].value, NULL, rows);
	}
	if (r == 0 && key != NULL)
		r = add_uri(session, is_live, key, NULL, rows);
	for (size_t i = 0; r == 0 && i < session->key_count; i++)
		r = add_uri(session, is_live, session->keys[i], NULL, rows);
	if (r == 0 && trust_list_keks(access->trust, &keks) == 0) {
		for (size_t i = 0; r == 0 && i < keks.count; i++)
			if (keks.entries[i].uri != NULL)
				r = add_uri(session, is_live, keks.entries[i].uri,
					    keks.entries[i].key_id, rows);
		kek_list_free(&keks);
	}
	return r;
}

/* ---- Slots ------------------------------------------------------------------------------------- */

struct slot_scan {
	struct session *session;
	struct key_rows *rows;
};

static int add_slots(void *arg, const struct uuid *dek, const struct key_record *record,
		     enum trust_origin origin, int error)
{
	struct slot_scan *scan = arg;
	int r = 0;

	(void)dek;
	(void)origin;
	for (size_t i = 0; error == 0 && r == 0 && i < record->slot_count; i++) {
		const struct slot *slot = &record->slots[i];
		struct key_row row = { 0 };

		if (has_row(scan->rows, "", slot->key_id))
			continue;
		strcpy(row.info.key_id, slot->key_id);
		strcpy(row.provider, slot->provider);
		row.info.state = trust_key_state(scan->session->access.trust, slot->key_id,
						 &row.since_s);
		r = add_row(scan->rows, &row);
	}
	return r;
}

static int count_snapshot(void *arg, struct snapshot *snapshot, int fd)
{
	struct slot_scan *scan = arg;
	char **key_ids = NULL;
	size_t count = 0;
	int r = 0;

	(void)fd;
	if (snapshot_state(snapshot) == SNAPSHOT_FOREIGN || !snapshot_is_encrypted(snapshot))
		return 0;
	r = snapshot_key_ids(snapshot, &key_ids, &count);
	if (r < 0)
		return r;
	for (size_t row = 0; row < scan->rows->count; row++)
		for (size_t i = 0; i < count; i++)
			if (key_id_matches(key_ids[i], scan->rows->rows[row].info.key_id)) {
				scan->rows->rows[row].snapshots++;
				break;
			}
	for (size_t i = 0; i < count; i++)
		free(key_ids[i]);
	free(key_ids);
	return 0;
}

/* What the key is called without its version; the length of that. */
static size_t base_length(const char *key_id)
{
	const char *version = key_id_version(key_id);

	return version == NULL ? strlen(key_id) : (size_t)(version - key_id);
}

/* Has the service just said that another version of the same key is its present one? */
static bool has_younger_version(const struct key_rows *rows, const struct key_row *old)
{
	const size_t length = base_length(old->info.key_id);

	for (size_t i = 0; i < rows->count; i++) {
		const struct kms_key_info *now = &rows->rows[i].info;

		if (now->version[0] != '\0' && base_length(now->key_id) == length &&
		    strncmp(now->key_id, old->info.key_id, length) == 0)
			return true;
	}
	return false;
}

/* Rows that come from slots only are of versions that nothing new is under. */
static void mark_old_versions(struct key_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++) {
		struct key_row *row = &rows->rows[i];

		row->is_old = row->uri[0] == '\0' && key_id_version(row->info.key_id) != NULL &&
			      has_younger_version(rows, row);
	}
	for (size_t i = 0; i < rows->count; i++) {
		struct kms_key_info *info = &rows->rows[i].info;
		const char *version = key_id_version(info->key_id);

		if (info->version[0] == '\0' && version != NULL)
			snprintf(info->version, sizeof(info->version), "%s", version);
	}
}

int key_rows_add_volume(struct session *session, struct key_rows *rows)
{
	struct slot_scan scan = { session, rows };
	struct snapshot *root = NULL;
	int r = key_list_each(session->store, add_slots, &scan);

	if (r < 0)
		return r;
	mark_old_versions(rows);
	root = snapshot_root(session->store);
	if (root == NULL)
		return -ENOMEM;
	r = count_snapshot(&scan, root, -1);
	snapshot_put(root);
	return r < 0 ? r : snapshot_each(session->store, count_snapshot, &scan);
}

void key_row_json(const struct key_row *row, struct json_object *object)
{
	document_add_text(object, "key_id", row->info.key_id[0] == '\0' ? NULL : row->info.key_id);
	document_add_text(object, "uri", row->uri[0] == '\0' ? NULL : row->uri);
	document_add_text(object, "provider", row->provider[0] == '\0' ? NULL : row->provider);
	document_add_text(object, "state", key_state_name(row->info.state));
	document_add_time(object, "since", row->since_s);
	document_add_text(object, "version",
			  row->info.version[0] == '\0' ? NULL : row->info.version);
	document_add_time(object, "created", row->info.created_s);
	document_add_time(object, "next_rotation", row->info.next_rotation_s);
	document_add_time(object, "deletion", row->info.deletion_s);
	document_add_bool(object, "rewrap_recommended", row->is_old || row->info.has_old_version);
	document_add_number(object, "snapshots", row->snapshots);
}
