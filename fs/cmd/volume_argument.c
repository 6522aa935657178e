/* SPDX-License-Identifier: Apache-2.0 */
/* Finding VOLUME: a backing directory, a mount point, a volume UUID, or the NAME of a section. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cmd/session.h"
#include "fs/control/mount_table.h"

static int open_backing(struct session *session, const char *path)
{
	struct store_error error = { 0 };

	return access_open_backing(&session->access, path, &error) < 0
		       ? session_fail(session, &error)
		       : 0;
}

static int open_section(struct session *session, const char *name)
{
	const char *backing = config_text(session->access.config, name, "backing");

	session->access.volume_name = name;
	if (backing == NULL) {
		fail(session->invocation, EXIT_USAGE, "[volume \"%s\"] has no backing directory",
		     name);
		advise(session->invocation, "add 'backing = PATH' to it");
		return EXIT_USAGE;
	}
	return open_backing(session, backing);
}

/* The first place where this host has seen the volume and where it still is. */
static int open_pinned(struct session *session, const struct uuid *id, const char *text)
{
	struct volume_pin pin = { 0 };
	int exit_code = EXIT_NO_VOLUME;
	const int r = trust_volume_pin(session->access.trust, id, &pin);

	for (size_t i = 0; r == 0 && i < pin.backing_count && exit_code != 0; i++) {
		struct store_description description = { 0 };
		struct store_error error = { 0 };

		if (access(pin.backings[i], F_OK) != 0 ||
		    open_backing(session, pin.backings[i]) != 0)
			continue;
		if (store_describe(session->access.backing_fd, session->access.trust, &description,
				   &error) == 0) {
			if (uuid_equal(&description.record.volume, id))
				exit_code = 0;
			volume_record_free(&description.record);
		}
		if (exit_code != 0) {
			close(session->access.backing_fd);
			session->access.backing_fd = -1;
			free(session->access.backing);
			session->access.backing = NULL;
		}
	}
	if (r == 0)
		volume_pin_free(&pin);
	if (exit_code == 0)
		return 0;
	fail(session->invocation, EXIT_NO_VOLUME, "volume %s: this host knows no place of it",
	     text);
	advise(session->invocation, "name its backing directory");
	return EXIT_NO_VOLUME;
}

static int open_uuid(struct session *session, const struct uuid *id, const char *text)
{
	const char *section = config_volume_by_id(session->access.config, id);
	struct store_error error = { 0 };

	if (section != NULL)
		return open_section(session, section);
	if (access_open_trust(&session->access, &error) < 0)
		return session_fail(session, &error);
	return open_pinned(session, id, text);
}

/*
 * A mount point: the mount hands out its backing directory, which may lie below the mount itself or
 * in another mount namespace.
 */
static int open_mounted(struct session *session, const struct mount_entry *entry)
{
	struct store_error error = { 0 };
	int r = session_mounts(session);

	if (r != 0)
		return r;
	for (size_t i = 0; i < session->mounts.count; i++) {
		const struct control_mount *mount = &session->mounts.mounts[i];

		if (control_mount_device(mount) != entry->device)
			continue;
		r = control_take_backing(&session->mounts, mount, &session->access.backing_fd,
					 &session->access.backing);
		if (r < 0)
			break;
		session->reached_through = strdup(entry->mountpoint);
		if (session->access.volume_name == NULL)
			session->access.volume_name = config_volume_by_backing(
				session->access.config, session->access.backing);
		return access_open_trust(&session->access, &error) < 0
			       ? session_fail(session, &error)
			       : 0;
	}
	fail(session->invocation, EXIT_NOT_MOUNTED, "%s: %s", entry->mountpoint,
	     mount_entry_is_alive(entry) ? "its mount does not answer on the control socket"
					 : "the process of this mount is gone");
	advise(session->invocation, "'snapcrypt status' shows mounts; name the backing directory");
	return EXIT_NOT_MOUNTED;
}

static int open_path(struct session *session, const char *path)
{
	CLEANUP(mount_table_cleanup) struct mount_table table = { 0 };
	const struct mount_entry *entry = NULL;
	char *absolute = NULL;
	int r = mount_table_read(&table);

	if (r == 0)
		r = mount_table_find(&table, path, &entry);
	if (r < 0 && r != -ENOENT)
		return fail(session->invocation, EXIT_NO_VOLUME, "%s: %s", path, strerror(-r));
	if (r == -ENOENT) {
		fail(session->invocation, EXIT_NO_VOLUME,
		     "%s: no such directory, volume or section", path);
		advise(session->invocation,
		       "VOLUME is a backing directory, a mount point, a UUID or a NAME");
		return EXIT_NO_VOLUME;
	}
	if (entry == NULL || !mount_entry_is_ours(entry))
		return open_backing(session, path);
	absolute = realpath(path, NULL);
	if (absolute != NULL && strcmp(absolute, entry->mountpoint) != 0) {
		fail(session->invocation, EXIT_NO_VOLUME, "%s is inside the mount at %s", path,
		     entry->mountpoint);
		advise(session->invocation, "name the mount point");
		free(absolute);
		return EXIT_NO_VOLUME;
	}
	free(absolute);
	return open_mounted(session, entry);
}

int session_open_volume(struct session *session, const char *volume)
{
	struct uuid id;
	int r = session_open_config(session);

	if (r != 0)
		return r;
	if (strchr(volume, '/') == NULL && config_has_volume(session->access.config, volume))
		return open_section(session, volume);
	if (uuid_parse(volume, &id) == 0)
		return open_uuid(session, &id, volume);
	return open_path(session, volume);
}
