/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serving an opened volume as a filesystem.  The caller has gone through daemon.h, opened keys and store; mount_run() mounts,
 * serves until it is unmounted or told to end, and leaves the store flushed and open.
 */
#ifndef SNAPCRYPT_FS_MOUNT_MOUNT_H
#define SNAPCRYPT_FS_MOUNT_MOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/mount/daemon.h"
#include "fs/store/store.h"
#include "kms/error.h"
#include "meta/macros.h"

struct mount;

/* What a key that is withdrawn stops: everything, writing, or only what is made anew under it. */
enum mount_on_revoke { MOUNT_BLOCK, MOUNT_READ_ONLY, MOUNT_PREVENT_NEW };

/*
 *   since_s           0: not known yet
 *   is_withdrawn      on_revoke is in force for it
 *   is_rotation_due   older than rotation_age
 *   is_old_version    new slots are under another version of the key: rewrap recommended
 */
struct mount_key_status {
	char key_id[KEY_ID_SIZE];
	char provider[KEY_PROVIDER_SIZE];
	enum key_state state;
	int64_t since_s;
	int64_t last_ok_s;
	char message[640];
	char advice[320];
	size_t data_keys;
	bool is_withdrawn;
	bool is_rotation_due;
	bool is_old_version;
	bool has_strayed; /* an alternate slot opened data keys, because this key did not answer */
};

/* Something that an operator wants to know: NAME of meta/NAMES.md, "Event names".  Borrowed for the call. */
struct mount_event {
	const char *name;
	const struct mount_key_status *key;
};

/*
 *   source            shown as the source in the mount table
 *   mountpoint        absolute path
 *   snapshot          NULL: all; else the name or UUID of the one that is shown (read-only)
 *   kernel_options    further options for the kernel, comma-separated; NULL: none
 *   threads           sealing threads; 0: as the machine has
 *   started, ending   called when the mount serves, and when it does no longer: for the control socket.  May be NULL
 *   event             called on the health thread; must not wait.  May be NULL
 */
struct mount_options {
	const char *source;
	const char *mountpoint;
	const char *snapshot;
	const char *kernel_options;
	bool is_read_only;
	bool requires_sealed;
	bool allows_others;
	bool follows_symlinks;
	bool replaces_dead;
	uint32_t key_timeout_ms;
	uint32_t key_poll_ms;
	enum mount_on_revoke on_revoke;
	int64_t unreachable_grace_s; /* -1: no limit */
	int64_t rotation_age_s;      /* -1: never due */
	size_t read_ahead;
	size_t write_queue;
	unsigned threads;
	struct kms *kms;
	struct trust *trust;
	struct daemon *daemon;
	int (*started)(void *arg, struct mount *mount);
	void (*ending)(void *arg, struct mount *mount);
	void (*event)(void *arg, const struct mount_event *event);
	void *arg;
};

/* Serve.  0 after a clean end; before the mount serves, failures are in RETERR and nothing is mounted. */
MUST_CHECK int mount_run(const struct mount_options *options, struct store *store,
			 struct store_error *reterr);

/*
 * May the mount point carry a mount of the volume at BACKING_FD?  A place inside or above the backing directory may not, the
 * backing directory itself may.  A dead mount of ours there is detached if the options say so.  mount_run() checks it too; before
 * keys are opened it is known sooner.  -EINVAL, -ENOTDIR, -ENOENT, -ENOTCONN: a dead mount is there.
 */
MUST_CHECK int mountpoint_check(int backing_fd, const struct mount_options *options,
				struct store_error *reterr);

/* ---- While it serves; thread-safe ---- */

struct mount_status {
	size_t queue_bytes;
	size_t open_files;
	size_t parked_requests;
	size_t nodes;
	size_t descriptors;
	size_t data_keys;
	uint64_t authentication_failures;
	uint64_t io_failures;
	struct mount_key_status *keys; /* free() */
	size_t key_count;
};

MUST_CHECK int mount_get_status(struct mount *mount, struct mount_status *ret_status);
struct store *mount_store(struct mount *mount);
const struct mount_options *mount_get_options(const struct mount *mount);

/* Write everything down that was acknowledged. */
MUST_CHECK int mount_flush(struct mount *mount);

/* End serving as a signal would: unmount, flush.  Returns at once. */
void mount_end(struct mount *mount);

/* Ask every key service now (SIGHUP, keys test). */
void mount_probe_keys(struct mount *mount);

/* A command deleted the snapshot NAME (path below the root): let the kernel look again. */
void mount_forget_snapshot(struct mount *mount, const char *name);

/*
 * Withdraw a DEK: refuse new use, let running requests reply, flush and close what is open under it, wipe it, make the kernel
 * forget data and names.  Call it without any lock.  mount_restore_dek() lets it be opened again.
 */
void mount_revoke_dek(struct mount *mount, const struct uuid *dek_id, enum key_state state);

/* Let what is under a DEK be read only: handles that could write end, writing gives the error of STATE. */
void mount_refuse_writes(struct mount *mount, const struct uuid *dek_id, enum key_state state);

/* Undo either. */
void mount_restore_dek(struct mount *mount, const struct uuid *dek_id);

#endif
