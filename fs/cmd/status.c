/* SPDX-License-Identifier: Apache-2.0 */
/* status: mounts, keys and snapshots of one volume, or of all that this host knows. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/human.h"
#include "fs/cmd/session.h"
#include "fs/control/mount_table.h"
#include "fs/store/snapshot.h"

#define STATES (SNAPSHOT_DUPLICATE + 1)

/* ---- Snapshots ------------------------------------------------------------------------------------- */

static int count_state(void *arg, struct snapshot *snapshot, int fd)
{
	uint64_t *counts = arg;

	(void)fd;
	counts[snapshot_state(snapshot)]++;
	return 0;
}

/* Where the volume cannot be opened the rest is still shown. */
static void add_snapshots(struct session *session, struct json_object *object)
{
	uint64_t counts[STATES] = { 0 };
	struct json_object *map = NULL;

	if (session_open_kms(session) != 0 || session_open_store(session, STORE_READ) != 0 ||
	    snapshot_each(session->store, count_state, counts) < 0) {
		if (session->invocation->failure.text[0] != '\0')
			notice(session->invocation, "%s", session->invocation->failure.text);
		session->invocation->failure = (struct failure){ 0 };
		document_add_null(object, "snapshots");
		return;
	}
	map = document_new_object();
	for (int state = 0; state < STATES; state++)
		document_add_number(map, snapshot_state_name((enum snapshot_state)state),
				    counts[state]);
	document_add(object, "snapshots", map);
}

/* ---- Mounts ---------------------------------------------------------------------------------------- */

/* What a mount said, without what only our own commands need. */
static void add_live_mount(const struct control_mount *mount, struct json_object *list)
{
	struct json_object *status = document_share(document_member(mount->status, "mount"));

	document_remove(status, "device");
	document_append(list, status);
}

/* A mount of this backing directory that nobody serves: known from the mount table alone. */
static void add_dead_mounts(const struct session *session, struct json_object *list)
{
	CLEANUP(mount_table_cleanup) struct mount_table table = { 0 };

	if (mount_table_read(&table) < 0)
		return;
	for (size_t i = 0; i < table.count; i++) {
		const struct mount_entry *entry = &table.entries[i];
		struct json_object *mount = NULL;

		if (!mount_entry_is_ours(entry) ||
		    strcmp(entry->source, session->access.backing) != 0 ||
		    mount_entry_is_alive(entry))
			continue;
		mount = document_new_object();
		document_add_null(mount, "mount");
		document_add_path(mount, "mountpoint", entry->mountpoint);
		document_add_text(mount, "state", "dead");
		document_add_bool(mount, "read_only", entry->is_read_only);
		document_add_null(mount, "pid");
		document_append(list, mount);
	}
}

static void add_mounts(struct session *session, struct json_object *object)
{
	struct json_object *mounts = document_new_array();
	struct json_object *keys = document_new_array();
	struct stat stat;

	if (session_mounts(session) == 0 && fstat(session->access.backing_fd, &stat) == 0) {
		for (size_t i = 0; i < session->mounts.count; i++) {
			const struct control_mount *mount = &session->mounts.mounts[i];
			const struct json_object *found = document_member(mount->status, "keys");

			if (!control_mount_is_of(mount, stat.st_dev, stat.st_ino))
				continue;
			add_live_mount(mount, mounts);
			for (size_t k = 0; k < document_length(found); k++)
				document_append(keys, document_share(document_element(found, k)));
		}
	}
	add_dead_mounts(session, mounts);
	document_add(object, "mounts", mounts);
	document_add(object, "keys", keys);
}

/* ---- The lock -------------------------------------------------------------------------------------- */

#define LEASE_SIZE_MAX 4096

/* Who holds, or held when it died, the volume for writing: the lease in its lock file. */
static void add_lock(const struct session *session, struct json_object *object)
{
	const int fd = openat(session->access.backing_fd, ".snapcrypt/lock",
			      O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	char text[LEASE_SIZE_MAX + 1];
	const ssize_t size = fd < 0 ? -1 : read(fd, text, LEASE_SIZE_MAX);
	struct json_object *lock = document_new_object();
	char *rest = text;
	char *line = NULL;

	text[size > 0 ? size : 0] = '\0';
	while ((line = strsep(&rest, "\n")) != NULL) {
		char *value = strchr(line, ' ');

		if (value == NULL)
			continue;
		*value++ = '\0';
		if (strcmp(line, "host") == 0 || strcmp(line, "boot") == 0)
			document_add_text(lock, line, value);
		else if (strcmp(line, "pid") == 0)
			document_add_number(lock, line, strtoul(value, NULL, 10));
	}
	if (fd >= 0)
		close(fd);
	if (document_text(lock, "host") != NULL) {
		document_add(object, "lock", lock);
		return;
	}
	document_free(lock);
	document_add_null(object, "lock");
}

/* ---- Volumes --------------------------------------------------------------------------------------- */

static int add_volume(struct session *session, struct json_object *list)
{
	struct store_description description = { 0 };
	struct store_error error = { 0 };
	struct json_object *object = NULL;

	if (store_describe(session->access.backing_fd, session->access.trust, &description,
			   &error) < 0)
		return session_fail(session, &error);
	object = document_new_object();
	document_add_uuid(object, "volume", &description.record.volume);
	document_add_path(object, "backing", session->access.backing);
	document_add_text(object, "name", session->access.volume_name);
	document_add_text(object, "encryption", description.record.is_encrypted ? "on" : "off");
	document_add_text(object, "encryption_key_id",
			  description.record.is_encrypted ? description.record.default_key_id
							  : NULL);
	document_add_bool(object, "origin_verified", trust_origin_is_trusted(description.origin));
	volume_record_free(&description.record);
	add_lock(session, object);
	add_mounts(session, object);
	add_snapshots(session, object);
	document_append(list, object);
	return 0;
}

static int add_named(struct invocation *invocation, const char *volume, struct json_object *list)
{
	struct session session;
	int r = 0;

	session_init(&session, invocation);
	r = session_open_volume(&session, volume);
	if (r == 0)
		r = add_volume(&session, list);
	session_close(&session);
	return r;
}

static bool is_listed(const struct json_object *list, const char *id)
{
	for (size_t i = 0; i < document_length(list); i++)
		if (strcmp(document_text(document_element(list, i), "volume"), id) == 0)
			return true;
	return false;
}

/* A volume that is not there now (a disk that is not plugged in) is said, and does not fail the rest. */
static void add_if_there(struct invocation *invocation, const char *volume,
			 struct json_object *list)
{
	if (add_named(invocation, volume, list) == 0)
		return;
	notice(invocation, "%s", invocation->failure.text);
	invocation->failure = (struct failure){ 0 };
}

/* Those that serve now, those of the configuration, and those that this host has pinned. */
static int add_all(struct session *session, struct json_object *list)
{
	const struct config *config = session->access.config;
	struct invocation *invocation = session->invocation;
	struct uuid *pinned = NULL;
	size_t count = 0;
	char id[UUID_TEXT_SIZE];
	int r = session_mounts(session);

	if (r != 0)
		return r;
	for (size_t i = 0; i < session->mounts.count; i++) {
		const struct control_mount *mount = &session->mounts.mounts[i];

		uuid_format(&mount->volume, id);
		if (!is_listed(list, id))
			add_if_there(invocation, control_mountpoint(mount), list);
	}
	for (size_t i = 0; i < config_volume_count(config); i++) {
		struct json_object *here = document_new_array();

		add_if_there(invocation, config_volume_name(config, i), here);
		if (document_length(here) == 1 &&
		    !is_listed(list, document_text(document_element(here, 0), "volume")))
			document_append(list, document_share(document_element(here, 0)));
		document_free(here);
	}
	if (trust_list_volumes(session->access.trust, &pinned, &count) < 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		uuid_format(&pinned[i], id);
		if (!is_listed(list, id))
			add_if_there(invocation, id, list);
	}
	free(pinned);
	return 0;
}

/* ---- Output ---------------------------------------------------------------------------------------- */

static const char *or_dash(const char *text)
{
	return text == NULL ? "-" : text;
}

static void print_mount(const struct json_object *mount)
{
	const struct json_object *failures = document_member(mount, "failures");
	char size[HUMAN_SIZE];

	printf("  mounted at %s: %s%s\n", or_dash(document_text(mount, "mountpoint")),
	       or_dash(document_text(mount, "state")),
	       document_is_true(mount, "read_only") ? ", read-only" : "");
	if (document_number(mount, "pid") != 0)
		printf("    process %" PRIu64 ", %" PRIu64
		       " open files, %s waiting to be written\n",
		       document_number(mount, "pid"), document_number(mount, "open_files"),
		       human_bytes(document_number(mount, "queue_bytes"), size));
	if (document_number(failures, "authentication") > 0 || document_number(failures, "io") > 0)
		printf("    %" PRIu64 " blocks were not authentic, %" PRIu64
		       " reads or writes failed: see the log\n",
		       document_number(failures, "authentication"),
		       document_number(failures, "io"));
}

static void print_key(const struct json_object *key)
{
	const char *message = document_text(key, "message");
	const char *advice = document_text(key, "advice");

	printf("  key %s: %s%s%s%s%s%s\n", or_dash(document_text(key, "key_id")),
	       or_dash(document_text(key, "state")),
	       document_is_true(key, "withdrawn") ? ", withdrawn" : "",
	       document_is_true(key, "rotation_due") ? ", rotation is due" : "",
	       document_is_true(key, "rewrap_recommended") ? ", rewrap recommended" : "",
	       message == NULL ? "" : ", ", message == NULL ? "" : message);
	if (advice != NULL)
		printf("    %s\n", advice);
}

static void print_snapshots(const struct json_object *snapshots)
{
	bool is_first = true;

	if (snapshots == NULL)
		return;
	printf("  snapshots:");
	for (int state = 0; state < STATES; state++) {
		const char *word = snapshot_state_name((enum snapshot_state)state);
		const uint64_t count = document_number(snapshots, word);

		if (count == 0)
			continue;
		printf("%s %" PRIu64 " %s", is_first ? "" : ",", count, word);
		is_first = false;
	}
	printf("%s\n", is_first ? " none" : "");
}

static void print_volume(const struct json_object *volume)
{
	const struct json_object *mounts = document_member(volume, "mounts");
	const struct json_object *keys = document_member(volume, "keys");
	const char *key_id = document_text(volume, "encryption_key_id");

	printf("%s  %s\n", document_text(volume, "volume"), document_text(volume, "backing"));
	printf("  Encryption Key ID: %s\n", key_id == NULL ? "Not enabled" : key_id);
	if (!document_is_true(volume, "origin_verified"))
		printf("  origin not verified: see 'snapcrypt volume show'\n");
	if (document_length(mounts) == 0)
		printf("  not mounted\n");
	for (size_t i = 0; i < document_length(mounts); i++)
		print_mount(document_element(mounts, i));
	for (size_t i = 0; i < document_length(keys); i++)
		print_key(document_element(keys, i));
	print_snapshots(document_member(volume, "snapshots"));
}

static void print_status(const struct invocation *invocation, const char *writer,
			 struct json_object *volumes)
{
	if (invocation->is_json) {
		CLEANUP(document_cleanup)
		struct json_object *output = document_new_output("snapcrypt.status/1");

		document_add_text(output, "writer", writer);
		document_add(output, "volumes", document_share(volumes));
		document_print(output, stdout);
		return;
	}
	printf("Writer: %s\n", writer == NULL ? "none yet" : writer);
	for (size_t i = 0; i < document_length(volumes); i++)
		print_volume(document_element(volumes, i));
}

static bool has_writer(const struct session *session)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/writer.key", trust_state_dir(session->access.trust));
	return access(path, F_OK) == 0;
}

int cmd_status(struct invocation *invocation)
{
	CLEANUP(document_cleanup) struct json_object *volumes = document_new_array();
	struct session session;
	char writer[WRITER_FINGERPRINT_SIZE] = "";
	int r = 0;

	session_init(&session, invocation);
	r = session_open_config(&session);
	if (r == 0)
		r = session_open_trust(&session);
	/* The writer key is read into secret memory. */
	if (r == 0)
		r = session_open_kms(&session);
	if (r == 0)
		r = operand(invocation, 0) != NULL
			    ? add_named(invocation, operand(invocation, 0), volumes)
			    : add_all(&session, volumes);
	/* A host that has never written has no writer key, and asking must not make one. */
	if (r == 0 && has_writer(&session) &&
	    trust_own_fingerprint(session.access.trust, writer) < 0)
		writer[0] = '\0';
	if (r == 0)
		print_status(invocation, writer[0] == '\0' ? NULL : writer, volumes);
	session_close(&session);
	return r;
}
