/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount tells `status` about itself. */
#include "fs/cmd/mount_status.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fs/store/journal.h"

/* The worst of the keys in use: meta/NAMES.md, "Mount states". */
static const char *state_word(const struct mount_status *status)
{
	const char *word = "serving";

	for (size_t i = 0; i < status->key_count; i++) {
		const enum key_state state = status->keys[i].state;

		if (key_state_is_definite_no(state))
			return "revoked";
		if (state == KEY_STATE_UNREACHABLE || state == KEY_STATE_CREDENTIALS_EXPIRED)
			word = "degraded";
	}
	return word;
}

static void add_keys(const struct mount_status *status, struct json_object *keys)
{
	for (size_t i = 0; i < status->key_count; i++) {
		const struct mount_key_status *key = &status->keys[i];
		struct json_object *object = document_new_object();

		document_add_text(object, "key_id", key->key_id);
		document_add_text(object, "provider", key->provider);
		document_add_text(object, "state", key_state_name(key->state));
		document_add_time(object, "since", key->since_s);
		document_add_time(object, "last_ok", key->last_ok_s);
		document_add_text(object, "message", key->message[0] == '\0' ? NULL : key->message);
		document_add_number(object, "data_keys", key->data_keys);
		document_append(keys, object);
	}
}

static struct json_object *journal_status(struct store *store)
{
	struct json_object *object = document_new_object();
	char id[UUID_TEXT_SIZE];
	char path[sizeof(".snapcrypt/journal/") + UUID_TEXT_SIZE];
	struct stat stat;

	uuid_format(store_mount_id(store), id);
	snprintf(path, sizeof(path), ".snapcrypt/journal/%s", id);
	document_add_number(object, "bytes",
			    fstatat(store_root_fd(store), path, &stat, AT_SYMLINK_NOFOLLOW) == 0
				    ? (uint64_t)stat.st_size
				    : 0);
	document_add_number(
		object, "pending",
		store_recovery(store) == NULL ? 0 : recovery_pending(store_recovery(store)));
	return object;
}

void mount_status_fill(void *arg, struct json_object *mount, struct json_object *keys)
{
	const struct mount_status_source *source = arg;
	struct mount_status status = { 0 };
	struct json_object *failures = document_new_object();
	struct json_object *cache = document_new_object();

	if (mount_get_status(source->mount, &status) < 0)
		status = (struct mount_status){ 0 };
	document_add_text(mount, "state", state_word(&status));
	document_add_text(mount, "snapshot", source->options->snapshot);
	document_add_bool(mount, "require_sealed", source->options->requires_sealed);
	document_add_text(mount, "role", source->is_write_only ? "write-only" : "read-write");
	document_add_number(mount, "open_files", status.open_files);
	document_add_number(mount, "queue_bytes", status.queue_bytes);
	document_add(mount, "journal", journal_status(mount_store(source->mount)));
	document_add_number(failures, "authentication", status.authentication_failures);
	document_add_number(failures, "io", status.io_failures);
	document_add(mount, "failures", failures);
	document_add_number(cache, "data_keys", status.data_keys);
	document_add_number(cache, "nodes", status.nodes);
	document_add_number(cache, "descriptors", status.descriptors);
	document_add(mount, "cache", cache);
	add_keys(&status, keys);
	free(status.keys);
}

void mount_status_probe(void *arg)
{
	const struct mount_status_source *source = arg;

	mount_probe_keys(source->mount);
}
