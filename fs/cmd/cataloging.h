/* SPDX-License-Identifier: Apache-2.0 */
/* Commands and the catalogue: opening it as configured, entering volumes, scanning them into it. */
#ifndef SNAPCRYPT_FS_CMD_CATALOGING_H
#define SNAPCRYPT_FS_CMD_CATALOGING_H

#include "fs/cmd/session.h"
#include "meta/catalog/catalog.h"
#include "meta/catalog/key_check.h"

#define CATALOGING_HOST_SIZE 256

/* Waiting for the catalogue: commands, and what must not be held up by it. */
#define CATALOGING_TIMEOUT_S       10
#define CATALOGING_TIMEOUT_MOUNT_S 3

/* The name under which this host's volumes are entered. */
void cataloging_host(char host[static CATALOGING_HOST_SIZE]);

/* Where the catalogue is; free() it.  After session_open_config(). */
MUST_CHECK int cataloging_url(struct session *session, char **ret_url);

/* Open it.  0, or an exit code that is reported. */
MUST_CHECK int cataloging_open(struct session *session, unsigned timeout_s,
			       struct catalog **ret_catalog);

/* Report what the catalogue said.  Returns the exit code. */
int cataloging_fail(struct session *session, const struct catalog_error *error);

/*
 * Enter the volume that the session has opened (init, mount).  A catalogue that cannot be reached must not keep anybody from
 * making backups: negative errno and TEXT, nothing is reported.
 */
MUST_CHECK int cataloging_register(struct session *session, const struct uuid *volume,
				   char text[static 512]);

/* The same, and scan it (init). */
MUST_CHECK int cataloging_enter(struct session *session, const struct uuid *volume,
				char text[static 512]);

/* Is it a place of this host? */
bool cataloging_is_here(const struct catalog_volume *volume);

/* Which volume is at PATH; false: none that can be read. */
MUST_CHECK bool cataloging_identify(struct invocation *invocation, const char *path,
				    struct uuid *ret_volume);

/* Look at a place of this host without walking it.  TEXT: why it cannot be reached, else "". */
enum key_check_look cataloging_look(struct invocation *invocation,
				    const struct catalog_volume *volume, char text[static 512]);

/*
 * Scan a place of this host and store the outcome, the failure too.  0; 1: it could not be scanned, TEXT says why; or an
 * exit code of the catalogue's own failure, negated and reported.
 */
MUST_CHECK int cataloging_sync(struct session *session, struct catalog *catalog,
			       const struct catalog_volume *volume, char text[static 512]);

#endif
