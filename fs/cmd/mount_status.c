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

		if (key_state_is_definite_no(state) || status->keys[i].is_withdrawn)
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
		char message[sizeof(key->message) + 32];

		snprintf(message, sizeof(message), "%s%s",
			 key->has_strayed ? "primary unreachable: " : "", key->message);
		document_add_text(object, "key_id", key->key_id);
		document_add_text(object, "provider", key->provider);
		document_add_text(object, "state", key_state_name(key->state));
		document_add_time(object, "since", key->since_s);
		document_add_time(object, "last_ok", key->last_ok_s);
		document_add_text(object, "message", message[0] == '\0' ? NULL : message);
		document_add_text(object, "advice", key->advice[0] == '\0' ? NULL : key->advice);
		document_add_number(object, "data_keys", key->data_keys);
		document_add_bool(object, "withdrawn", key->is_withdrawn);
		document_add_bool(object, "rotation_due", key->is_rotation_due);
		document_add_bool(object, "rewrap_recommended", key->is_old_version);
		document_append(keys, object);
	}
}

/* -1: no limit, null. */
static void add_duration(struct json_object *object, const char *name, int64_t duration_s)
{
	if (duration_s < 0)
		document_add_null(object, name);
	else
		document_add_number(object, name, (uint64_t)duration_s);
}

/* What happens when a key does not say yes. */
static struct json_object *key_policy(const struct mount_options *options)
{
	static const char *const on_revoke[] = {
		[MOUNT_BLOCK] = "block", [MOUNT_READ_ONLY] = "readonly", [MOUNT_PREVENT_NEW] = "prevent_new"
	};
	struct json_object *object = document_new_object();

	document_add_text(object, "on_revoke", on_revoke[options->on_revoke]);
	add_duration(object, "poll_s",
		     options->key_poll_ms == UINT32_MAX ? -1
							: (int64_t)(options->key_poll_ms / 1000));
	add_duration(object, "unreachable_grace_s", options->unreachable_grace_s);
	add_duration(object, "rotation_age_s", options->rotation_age_s);
	return object;
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
	document_add(mount, "key_policy", key_policy(source->options));
	document_add_bool(mount, "event_command", source->has_event_command);
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

struct seal_options mount_status_seal_options(void *arg, bool seals_dependencies)
{
	const struct mount_status_source *source = arg;

	return mount_seal_options(source->mount, seals_dependencies);
}

void mount_status_removed(void *arg, const char *snapshot)
{
	const struct mount_status_source *source = arg;

	mount_forget_snapshot(source->mount, snapshot);
}
