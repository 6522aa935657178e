/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket of a mount: commands on a mounted volume are run by the process that serves it.
 *
 * RUN/<volume-uuid>-<mount-uuid>.sock, mode 0600; the peer must be this user or root.  One request
 * and one reply, each a JSON object on one line.  A thread of its own accepts, up to eight more
 * answer, so that a command which waits for a key service holds up nobody.
 */
#ifndef SNAPCRYPT_FS_CONTROL_CONTROL_H
#define SNAPCRYPT_FS_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/config/config.h"
#include "fs/document.h"
#include "fs/store/seal.h"
#include "fs/store/store.h"
#include "fs/store/trust.h"
#include "kms/kms.h"
#include "meta/macros.h"

struct control;

/*
 * Everything is borrowed until control_finish().
 *
 *   name          NAME of the [volume] section, or NULL
 *   backing       path of the backing directory, absolute
 *   mountpoint    absolute, without links
 *   device        filled by control_start()
 *   status        fill what only the mount knows: its own members, and an element of KEYS for each
 *                 key in use (packaging/schema/status.json)
 *   probe         ask about every key in use now; returns when that has been asked for
 */
struct control_options {
	const char *runtime_dir;
	const char *name;
	const char *backing;
	const char *mountpoint;
	dev_t device;
	const struct config *config;
	struct store *store;
	struct kms *kms;
	struct trust *trust;
	void (*status)(void *arg, struct json_object *mount, struct json_object *keys);
	void (*probe)(void *arg);
	struct seal_options (*seal_options)(void *arg, bool seals_dependencies);
	void (*removed)(void *arg, const char *snapshot);
	void *arg;
};

/*
 * Listen.  After mounting, before readiness is reported; makes threads, which block every signal.
 * The runtime directory is made if absent.  -EPERM: it is open to others or another user's.
 */
MUST_CHECK int control_start(const struct control_options *options, struct control **ret_control,
			     struct store_error *reterr);

/* Refuse new commands and wait for those that run; "umount" goes on waiting.  Before store_close(). */
void control_drain(struct control *control);

/*
 * The volume is released: tell OUTCOME, the result of store_close(), to every "umount" that waits,
 * remove the socket, end the threads.  Accepts NULL.
 */
void control_finish(struct control *control, int outcome);

#endif
