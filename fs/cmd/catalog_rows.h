/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown of the catalogue's volumes. */
#ifndef SNAPCRYPT_FS_CMD_CATALOG_ROWS_H
#define SNAPCRYPT_FS_CMD_CATALOG_ROWS_H

#include "fs/cmd/session.h"
#include "fs/document.h"
#include "meta/catalog/catalog.h"

/* What became of one place.  TEXT: why it could not be scanned, or ""; owned. */
struct catalog_result {
	int64_t number;
	char *text;
};
struct catalog_results {
	struct catalog_result *results;
	size_t count;
};

/* 0, or an exit code without a report: no memory. */
MUST_CHECK int catalog_results_add(struct catalog_results *results, int64_t number,
				   const char *text);
void catalog_results_free(struct catalog_results *results);

/* Print what was scanned, as the catalogue has it now.  EXIT_PARTIAL, reported, where one could not be. */
MUST_CHECK int catalog_results_print(struct session *session, struct catalog *catalog,
				     const struct catalog_results *results);

/* All volumes.  An exit code. */
MUST_CHECK int catalog_rows_print(struct invocation *invocation,
				  const struct catalog_volumes *volumes);

/* The first COUNT, which were or would be forgotten.  An exit code. */
MUST_CHECK int catalog_forgotten_print(const struct invocation *invocation,
				       const struct catalog_volumes *volumes, size_t count);

/* Members that name a place, and those that say what is known of it. */
void catalog_place_json(const struct catalog_volume *volume, struct json_object *object);
void catalog_volume_json(const struct catalog_volume *volume, struct json_object *object);

/* Why not every snapshot says what it needs, in words; "" when all do. */
void catalog_volume_gaps(const struct catalog_volume *volume, char *text, size_t size);

#endif
