/* SPDX-License-Identifier: Apache-2.0 */
/* A host with a state directory, a keyring and a backing directory; and others that come near the same volume. */
#ifndef SNAPCRYPT_TESTS_UNIT_VOLUME_FIXTURE_H
#define SNAPCRYPT_TESTS_UNIT_VOLUME_FIXTURE_H

#include <stdbool.h>

#include "fs/store/snapshot.h"
#include "fs/store/store.h"

#define FIXTURE_REPORTS_MAX 64

struct volume_fixture {
	int fd;        /* of the temporary directory */
	char path[64]; /* of it */
	char backing_path[96];
	int backing_fd;
	char key_uri[160];
	struct kms *kms;
	struct trust *trust;         /* of the host that makes the volume */
	struct volume_record record; /* as init wrote it */
	struct store *store;
	struct store_error error; /* of the last failure */
	unsigned report_count;
	char reports[FIXTURE_REPORTS_MAX][512];
};

/* Everything but the volume. */
struct volume_fixture *volume_fixture_new(void);
void volume_fixture_free(struct volume_fixture *fixture);

/* Settings that init gets: encrypted, names too, depth 1, 4 KiB blocks, the keyring's key. */
struct volume_record volume_fixture_settings(const struct volume_fixture *fixture);

/* Make the volume; fails the test if it cannot. */
void volume_fixture_init(struct volume_fixture *fixture);

/* Open it: 0 and fixture->store, or the error.  TRUST NULL: the host's own. */
int volume_fixture_open(struct volume_fixture *fixture, enum store_access access,
			struct trust *trust);
int volume_fixture_open_with(struct volume_fixture *fixture, struct store_options *options);
void volume_fixture_close(struct volume_fixture *fixture);

/* Another host: a state directory of its own named NAME, trusting LISTED (a fingerprint, or NULL). */
struct trust *volume_fixture_host(struct volume_fixture *fixture, const char *name,
				  const char *listed);

/* Was something reported that contains TEXT? */
bool volume_fixture_has_report(const struct volume_fixture *fixture, const char *text);

/* A file below the backing directory: whole contents (free() them), and written anew. */
char *volume_fixture_read(const struct volume_fixture *fixture, const char *name);
void volume_fixture_write(const struct volume_fixture *fixture, const char *name, const char *text);

/* Line 1 of a record file in place, changed: OLD replaced by NEW, signed by TRUST, as generation GENERATION's file NAME. */
void volume_fixture_forge(struct volume_fixture *fixture, const char *from, const char *to,
			  const char *old, const char *new, struct trust *trust);

/* Make a snapshot and open it. */
struct snapshot *volume_fixture_snapshot(struct volume_fixture *fixture, const char *name);
/* Open the directory as a snapshot; fails the test if it cannot. */
struct snapshot *volume_fixture_enter(struct volume_fixture *fixture, const char *name);

/* Close the store and open it again; fails the test if it cannot. */
void volume_fixture_reopen(struct volume_fixture *fixture, enum store_access access,
			   struct trust *trust);

/* Where generation GENERATION of the snapshot's key record is, below the backing directory. */
void volume_fixture_key_path(const struct snapshot *snapshot, const char *generation,
			     char path[static 128]);

/* How many entries a directory below the backing directory has. */
size_t volume_fixture_count(const struct volume_fixture *fixture, const char *directory);

#endif
