/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue: which snapshot needs which key, over many volumes.  In SQLite, or in PostgreSQL for a fleet; same tables, same
 * behaviour.
 *
 * A cache that can be made anew: volumes are the truth.  A volume is known by its id, the host that saw it, and the path there,
 * so that a copy of it counts on its own.  One handle belongs to one thread; processes may use one catalogue at the same time.
 * Names and paths are kept percent-encoded where they are not printable ASCII: catalog_text_encode().
 */
#ifndef SNAPCRYPT_META_CATALOG_CATALOG_H
#define SNAPCRYPT_META_CATALOG_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/catalog/need.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define CATALOG_VERSION 1

struct catalog;

struct catalog_error {
	int code; /* negative errno */
	char text[1024];
};

/*
 *   url        sqlite:PATH or postgresql://...
 *   password   of the database, or NULL
 *   timeout_s  for reaching it, and for waiting until others have written
 */
struct catalog_options {
	const char *url;
	const char *password;
	unsigned timeout_s;
};

/*
 * Open, and make or migrate the tables.  -EINVAL: not such an URL, or one with a password; -EBADMSG: the file is damaged;
 * -ENOTSUP: made by a newer version, or built without that database; -EHOSTUNREACH; -EACCES; -EBUSY.
 */
MUST_CHECK int catalog_open(const struct catalog_options *options, struct catalog **ret_catalog,
			    struct catalog_error *reterr);
void catalog_close(struct catalog *catalog); /* accepts NULL */

/* The path of the file that an URL names, or NULL: a server. */
const char *catalog_file(const char *url);

/* Look for damage before an answer on which somebody deletes a key.  -EBADMSG. */
MUST_CHECK int catalog_check(struct catalog *catalog, struct catalog_error *reterr);

/* ---- Volumes ----------------------------------------------------------------------------------------------------- */

/* Where a volume is. */
struct catalog_place {
	struct uuid volume;
	const char *host;
	const char *path;
};

/*
 *   number         of the place in this catalogue
 *   host, path     owned, path decoded
 *   default_key_id as of the last sync; "": none
 *   scanned_s      when the scan that counts began; 0: never
 *   failed_s       of the last attempt that did not succeed, later than that; 0: it did.  FAILURE: why; owned
 *   is_complete    every snapshot says what it needs (need_list_is_complete())
 *   is_consistent  all rows of the last sync are still there
 *   forgotten_s    0: registered; else when it was forgotten
 */
struct catalog_volume {
	int64_t number;
	struct uuid volume;
	char *host;
	char *path;
	char default_key_id[KEY_ID_SIZE];
	int64_t registered_s;
	int64_t scanned_s;
	int64_t failed_s;
	char *failure;
	char fingerprint[NEED_FINGERPRINT_SIZE];
	uint64_t snapshot_count;
	uint64_t damaged_count;
	uint64_t unusable_count;
	uint64_t unreadable_count;
	bool is_stable;
	bool is_complete;
	bool is_consistent;
	int64_t forgotten_s;
};
struct catalog_volumes {
	struct catalog_volume *volumes;
	size_t count;
};

/* Enter a volume, or find it: its number.  One that was forgotten is there again. */
MUST_CHECK int catalog_register(struct catalog *catalog, const struct catalog_place *place,
				int64_t now_s, int64_t *ret_number, struct catalog_error *reterr);

/* All places, forgotten ones last. */
MUST_CHECK int catalog_list(struct catalog *catalog, struct catalog_volumes *ret_volumes,
			    struct catalog_error *reterr);
void catalog_volumes_free(struct catalog_volumes *volumes);

/* Take a place out, with all that is known of it; that it was forgotten is remembered. */
MUST_CHECK int catalog_forget(struct catalog *catalog, int64_t number, int64_t now_s,
			      struct catalog_error *reterr);

/* ---- Needs ------------------------------------------------------------------------------------------------------- */

/*
 * Replace what is known of a place by what a scan found, in one step.  A scan that began before the one that counts changes
 * nothing.  -ENOENT: the place is gone.
 */
MUST_CHECK int catalog_store(struct catalog *catalog, int64_t number, const struct need_list *list,
			     struct catalog_error *reterr);

/* Note that a place could not be scanned. */
MUST_CHECK int catalog_store_failure(struct catalog *catalog, int64_t number, int64_t now_s,
				     const char *failure, struct catalog_error *reterr);

/* One snapshot that has a slot under the key.  Valid during the call. */
struct catalog_use {
	int64_t number; /* of the place */
	const struct need_key *key;
	struct need_snapshot snapshot;
	enum slot_role role;
	uint64_t dek_count;
};

/*
 * Call VISIT for every snapshot of a registered place with a slot under a key that IS_ASKED accepts: by key, and in no order within
 * one, as sorting a whole fleet's rows costs a server more than finding them.  Non-zero stops and is returned.
 */
struct catalog_search {
	bool (*is_asked)(void *arg, const struct need_key *key);
	int (*visit)(void *arg, const struct catalog_use *use);
	void *arg;
};
MUST_CHECK int catalog_search(struct catalog *catalog, const struct catalog_search *search,
			      struct catalog_error *reterr);

/* ---- Text -------------------------------------------------------------------------------------------------------- */

/* Bytes as printable ASCII and back; free() the result.  -ENOMEM; -EBADMSG: not so encoded. */
MUST_CHECK int catalog_text_encode(const char *text, char **ret_encoded);
MUST_CHECK int catalog_text_decode(const char *encoded, char **ret_text);

#endif
