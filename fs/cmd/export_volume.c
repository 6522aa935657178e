/* SPDX-License-Identifier: Apache-2.0 */
/* A volume under another party's key. */
#include "fs/cmd/export_volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/control/changes.h"
#include "kms/crypto/aead.h"

#define BLOCK_SIZE_DEFAULT 16384

void export_volume_init(struct export_volume *volume)
{
	*volume = (struct export_volume){ .backing_fd = -1, .snapshot_fd = -1 };
}

static int close_store(struct export_volume *volume)
{
	struct store *store = TAKE(volume->store);

	volume_copy_free(TAKE(volume->copy));
	snapshot_put(TAKE(volume->snapshot));
	if (volume->snapshot_fd >= 0)
		close(volume->snapshot_fd);
	volume->snapshot_fd = -1;
	return store == NULL ? 0 : store_close(store);
}

void export_volume_close(struct export_volume *volume)
{
	(void)!close_store(volume);
	seal_free(&volume->seal);
	volume_record_free(&volume->record);
	if (volume->backing_fd >= 0)
		close(volume->backing_fd);
	kms_close(volume->kms);
	export_volume_init(volume);
}

/* ---- Before anything is written -------------------------------------------------------------- */

static int check_place(struct restoring *restoring)
{
	struct invocation *invocation = restoring->session.invocation;
	const struct restore_target *target = &restoring->target;

	if (!target->marker.is_there && !target->marker.replaces)
		return 0;
	fail(invocation, EXIT_USAGE, "%s is not empty", target->path);
	advise(invocation, "a volume is made there: name a new directory; what an interrupted "
			   "export left can be removed");
	return EXIT_USAGE;
}

static int open_kms(struct session *session, struct export_volume *volume)
{
	const struct access *access = &session->access;
	const struct config *config = access->config;
	const struct kms_options options = {
		.key_timeout_ms = (uint32_t)config_duration_s(config, access->volume_name,
							      "key_timeout") *
				  1000,
		.is_write_only = true,
		.audit = access->audit,
	};
	struct kms_error error = { 0 };
	const int r = kms_open(&options, &volume->kms, &error);

	return r < 0 ? fail_key(session->invocation, r, &error) : 0;
}

int export_volume_check(struct restoring *restoring, struct export_volume *volume, const char *uri)
{
	struct session *session = &restoring->session;
	struct kms_key_info info = { 0 };
	struct kms_error error = { 0 };
	struct store_error store_error = { 0 };
	int r = check_place(restoring);

	if (r == 0 && access_check_key(session->access.config, session->access.volume_name, uri,
				       &store_error) < 0)
		r = session_fail(session, &store_error);
	if (r == 0)
		r = open_kms(session, volume);
	if (r != 0)
		return r;
	if (strlen(uri) >= sizeof(volume->record.default_key))
		return fail(session->invocation, EXIT_USAGE, "the URI of the key is too long");
	r = access_add_key(session->access.config, volume->kms, uri, &error);
	if (r == 0)
		r = kms_test_key(volume->kms, uri, &info, &error);
	if (r < 0)
		return fail_key(session->invocation, r, &error);
	strcpy(volume->key_id, info.key_id);
	return 0;
}

/* ---- The volume ------------------------------------------------------------------------------ */

/* As the source is; its own recovery keys and alternates are not the other party's. */
static void choose_settings(const struct volume_record *source, const char *uri, const char *key_id,
			    struct volume_record *settings)
{
	settings->is_encrypted = true;
	settings->block_size = source->is_encrypted ? source->block_size : BLOCK_SIZE_DEFAULT;
	settings->algorithm = source->is_encrypted ? source->algorithm : AEAD_AES_256_GCM;
	settings->has_encrypted_names = !source->is_encrypted || source->has_encrypted_names;
	settings->snapshot_depth = 1;
	settings->seal_on = SEAL_ON_COMMAND;
	settings->delete_sealed = DELETE_SEALED_COMMAND;
	strcpy(settings->default_key, uri);
	strcpy(settings->default_key_id, key_id);
	if (gethostname(settings->host, sizeof(settings->host) - 1) != 0)
		strcpy(settings->host, "unknown");
}

static int make_directory(struct restoring *restoring, struct export_volume *volume)
{
	struct restore_target *target = &restoring->target;

	if (target->fd < 0 && mkdir(target->path, 0700) != 0)
		return -errno;
	volume->backing_fd = open(target->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return volume->backing_fd < 0 ? -errno : 0;
}

static int make_volume(struct restoring *restoring, struct export_volume *volume, const char *uri)
{
	struct session *session = &restoring->session;
	struct trust *trust = session->access.trust;
	struct volume_record settings = { 0 };
	char *backing = realpath(restoring->target.path, NULL);
	const struct store_init_options options = {
		.trust = trust,
		.settings = &settings,
		.backing = backing,
	};
	struct store_error error = { 0 };
	int r = backing == NULL ? -errno : trust_own_fingerprint(trust, volume->writer);

	choose_settings(store_volume(session->store), uri, volume->key_id, &settings);
	if (r < 0)
		r = store_fail(&error, r, EXIT_FAILED, "%s: %s", restoring->target.path,
			       strerror(-r));
	else
		r = store_init(volume->backing_fd, &options, &volume->record, &error);
	volume_record_free(&settings);
	free(backing);
	return r < 0 ? session_fail(session, &error) : 0;
}

static void report_finding(void *arg, int priority, const char *path, const char *text)
{
	const struct invocation *invocation = arg;

	(void)priority;
	notice(invocation, "%s%s%s", path == NULL ? "" : path,
	       path == NULL || *path == '\0' ? "" : ": ", text);
}

static int open_volume(struct restoring *restoring, struct export_volume *volume)
{
	struct session *session = &restoring->session;
	const struct store_options options = {
		.access = STORE_WRITE,
		.can_block = true,
		.is_write_only = true,
		.trust = session->access.trust,
		.kms = volume->kms,
		.report = report_finding,
		.report_arg = session->invocation,
	};
	struct store_error error = { 0 };

	return store_open(volume->backing_fd, &options, &volume->store, &error) < 0
		       ? session_fail(session, &error)
		       : 0;
}

/* Directly below the volume's root, whatever stood above it before. */
static const char *own_name(const struct restoring *restoring)
{
	const char *name = snapshot_name(restoring->snapshot);
	const char *slash = strrchr(name, '/');

	if (snapshot_kind(restoring->snapshot) == SNAPSHOT_ROOT)
		return "root";
	return slash == NULL ? name : slash + 1;
}

static int make_snapshot(struct restoring *restoring, struct export_volume *volume)
{
	struct session *session = &restoring->session;
	const char *name = own_name(restoring);
	struct store_error error = { 0 };
	struct kms_error key_error = { 0 };
	int r = snapshot_create(volume->store, store_root_fd(volume->store), name, name, 0700);

	if (r < 0 &&
	    dek_ring_failure(store_deks(volume->store), &volume->record.volume, &key_error))
		return fail_key(session->invocation, r, &key_error);
	if (r < 0)
		return session_fail_errno(session, r, "snapshot", name);
	r = change_find_snapshot(volume->store, name, &volume->snapshot, &volume->snapshot_fd,
				 &error);
	if (r < 0)
		return session_fail(session, &error);
	volume->snapshot_id = *snapshot_id(volume->snapshot);
	r = volume_copy_new(volume->snapshot, volume->snapshot_fd, &volume->copy);
	return r < 0 ? session_fail_errno(session, r, "snapshot", name) : 0;
}

int export_volume_make(struct restoring *restoring, struct export_volume *volume, const char *uri)
{
	int r = make_directory(restoring, volume);

	if (r < 0)
		return fail(restoring->session.invocation, EXIT_FAILED, "%s: %s",
			    restoring->target.path, strerror(-r));
	r = make_volume(restoring, volume, uri);
	if (r == 0)
		r = open_volume(restoring, volume);
	return r != 0 ? r : make_snapshot(restoring, volume);
}

int export_volume_seal(struct restoring *restoring, struct export_volume *volume)
{
	struct session *session = &restoring->session;
	const struct seal_options options = { .seals_dependencies = false };
	struct store_error error = { 0 };
	int r = snapshot_seal(volume->snapshot, &options, &volume->seal, &error);

	if (r < 0)
		return session_fail(session, &error);
	r = close_store(volume);
	return r < 0 ? session_fail_errno(session, r, "volume", restoring->target.path) : 0;
}

struct json_object *export_volume_document(const struct export_volume *volume)
{
	struct json_object *object = document_new_object();
	char root[SEAL_ROOT_TEXT_SIZE];

	seal_root_format(volume->seal.root, root);
	document_add_uuid(object, "volume", &volume->record.volume);
	document_add_uuid(object, "snapshot", &volume->snapshot_id);
	document_add_text(object, "encryption_key_id", volume->key_id);
	document_add_text(object, "writer", volume->writer);
	document_add_text(object, "root", volume->seal.record.name == NULL ? NULL : root);
	return object;
}
