/* SPDX-License-Identifier: Apache-2.0 */
/* From the options of a command to an opened volume: access (fs/access.h) with failures reported. */
#ifndef SNAPCRYPT_FS_CMD_SESSION_H
#define SNAPCRYPT_FS_CMD_SESSION_H

#include "fs/access.h"
#include "fs/cmd/command.h"
#include "fs/control/client.h"

#define SESSION_SETTINGS_MAX 16

/*
 * Zero-initialise with session_init(); session_close() accepts every state.
 *
 *   config_file  -o config= of a mount, before --config; NULL: none
 *   mounts   those of this host, once session_mounts() has asked
 *   store    once session_open_store() has opened it
 */
struct session {
	struct invocation *invocation;
	const char *config_file;
	struct access access;
	struct access_setting settings[SESSION_SETTINGS_MAX];
	size_t setting_count;
	const char *keys[OPTIONS_GIVEN_MAX];
	size_t key_count;
	struct control_mounts mounts;
	bool has_mounts;
	struct store *store;
	char *reached_through; /* mount point that VOLUME named, or NULL */
};

void session_init(struct session *session, struct invocation *invocation);
void session_close(struct session *session);

/* A line in the audit log, before what it says is done.  SNAPSHOT may be NULL.  0, or an exit code: it must not be done. */
MUST_CHECK int session_audit(struct session *session, enum audit_operation operation,
			     const struct uuid *volume, const struct uuid *snapshot,
			     const char *detail);

/* A setting that counts above the environment; before session_open_config(). */
void session_set(struct session *session, const char *key, const char *value);

/* What is worth saying about the credentials that were used; said once, by session_close() at the latest. */
void session_say_notice(struct session *session);

/* Each returns 0 or an exit code, reported with fail(). */
MUST_CHECK int session_open_config(struct session *session);
MUST_CHECK int session_open_trust(struct session *session);
MUST_CHECK int session_mounts(struct session *session);

/* Find VOLUME: configuration, then its backing directory, then trust.  fs/cmd/volume_argument.c */
MUST_CHECK int session_open_volume(struct session *session, const char *volume);

MUST_CHECK int session_open_kms(struct session *session);

/* Open the volume without waiting for a lock; findings become notices. */
MUST_CHECK int session_open_store(struct session *session, enum store_access access);

/* session_open_volume(), session_open_kms() and session_open_store() in one. */
MUST_CHECK int session_open_all(struct session *session, const char *volume,
				enum store_access access);

/*
 * Open a volume to change it: for writing, or, where a mount is there that must make the change, for reading.  RET_MOUNT: that
 * mount, or NULL.
 */
MUST_CHECK int session_open_change(struct session *session, const char *volume,
				   const struct control_mount **ret_mount);

/* The mount that serves the chosen volume from this backing directory, writable or any; NULL. */
MUST_CHECK int session_find_mount(struct session *session, bool must_be_writable,
				  const struct control_mount **ret_mount);

/* Ask a mount; a "no" is reported as the failure of this command. */
MUST_CHECK int session_ask(struct session *session, const struct control_mount *mount,
			   struct json_object *request, int timeout_ms,
			   struct json_object **ret_reply);

/*
 * Report an errno of the engine: "WHAT NAME: why".  A key's own message is used where the key ring
 * remembers one for the data key that was wanted.
 */
int session_fail_errno(struct session *session, int error, const char *what, const char *name);

/* Report what the store or access said. */
int session_fail(struct session *session, const struct store_error *error);

#endif
