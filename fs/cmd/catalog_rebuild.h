/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes that this host knows without its catalogue. */
#ifndef SNAPCRYPT_FS_CMD_CATALOG_REBUILD_H
#define SNAPCRYPT_FS_CMD_CATALOG_REBUILD_H

#include "fs/cmd/session.h"
#include "meta/catalog/catalog.h"

/* Paths with the volume that was there; zero: not known.  Zero-initialise. */
struct known_places {
	char **paths;
	struct uuid *volumes;
	size_t count;
};
void known_places_free(struct known_places *places);

/* Add where this host has pinned volumes.  Negative errno. */
MUST_CHECK int known_places_pinned(struct trust *trust, struct known_places *places);

/* Scan all registered places of this host and print the outcome.  An exit code. */
MUST_CHECK int catalog_sync_all(struct session *session, struct catalog *catalog);

#endif
