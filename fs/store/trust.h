/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom and what this host trusts: its writer key, the trusted writers of the configuration, and what it has written down
 * in its state directory (meta/NAMES.md, "Paths").  Nothing here comes from a volume unless a function says "pin" or "see".
 *
 * Thread-safe.  State files are replaced whole and synced; processes are kept apart with a lock file.
 */
#ifndef SNAPCRYPT_FS_STORE_TRUST_H
#define SNAPCRYPT_FS_STORE_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kms/error.h"
#include "meta/macros.h"
#include "meta/records/host_state.h"
#include "meta/records/key_record.h"
#include "meta/records/record.h"
#include "meta/records/volume_record.h"
#include "meta/uuid.h"

struct store_error;
struct trust;

#define WRITER_FINGERPRINT_SIZE 72 /* "writer:", 64 hex digits, NUL */

struct trust_options {
	const char *state_dir;              /* created (0700) at the first thing to be written */
	const char *const *trusted_writers; /* fingerprints, with or without "writer:" */
	size_t trusted_writer_count;
	bool requires_trusted_origin; /* require_trusted_origin = yes */
};

/* -EINVAL: a fingerprint is malformed; -EPERM: the state directory or key file is open to others. */
MUST_CHECK int trust_open(const struct trust_options *options, struct trust **ret_trust,
			  struct store_error *reterr);
void trust_close(struct trust *trust);
bool trust_requires_origin(const struct trust *trust);
const char *trust_state_dir(const struct trust *trust);

/* Fingerprint of this host's writer key, made at first need.  -EROFS, -EACCES: the state directory cannot be written. */
MUST_CHECK int trust_own_fingerprint(struct trust *trust,
				     char text[static WRITER_FINGERPRINT_SIZE]);
MUST_CHECK int trust_fingerprint(const uint8_t public_key[static RECORD_PUBLIC_KEY_SIZE],
				 char text[static WRITER_FINGERPRINT_SIZE]);

/* Sign line 1 with this host's key; *ret_text is the whole record file, free() it. */
MUST_CHECK int trust_sign(struct trust *trust, const char *line, char **ret_text);

enum trust_origin {
	TRUST_UNKNOWN_WRITER, /* a good signature by a key that nobody has named here */
	TRUST_LISTED_WRITER,
	TRUST_THIS_HOST,
};

/* Verify a record's signature and say whose it is.  -EBADMSG: it is not a signature of the record. */
MUST_CHECK int trust_verify(struct trust *trust, const struct record *record,
			    enum trust_origin *ret_origin);
bool trust_origin_is_trusted(enum trust_origin origin);

/* ---- What is pinned of a volume ---------------------------------------------------------------------------------- */

/* -ENOENT: nothing pinned. */
MUST_CHECK int trust_volume_pin(struct trust *trust, const struct uuid *volume,
				struct volume_pin *ret_pin);

/* Pin settings (init, volume trust, a newer record of a trusted writer).  BACKING may be NULL. */
MUST_CHECK int trust_pin_volume(struct trust *trust, const struct volume_record *record,
				const char *backing);
/* Remember the highest seal sequence. */
MUST_CHECK int trust_see_sequence(struct trust *trust, const struct uuid *volume,
				  uint64_t sequence);
/* Remember a place where a pinned volume was seen.  -ENOENT: it is not pinned. */
MUST_CHECK int trust_see_backing(struct trust *trust, const struct uuid *volume,
				 const char *backing);
/* A seal without a tombstone that this host has seen, of a trusted writer. */
#define KNOWN_SEAL_ROOT_SIZE 32
struct known_seal {
	uint64_t sequence;
	struct uuid snapshot;
	uint8_t root[KNOWN_SEAL_ROOT_SIZE];
};
/* All that are remembered, none is no error; free() the array.  And replace them. */
MUST_CHECK int trust_known_seals(struct trust *trust, const struct uuid *volume,
				 struct known_seal **ret_seals, size_t *ret_count);
MUST_CHECK int trust_set_known_seals(struct trust *trust, const struct uuid *volume,
				     const struct known_seal *seals, size_t count);
/* Ids of all volumes with a pin; free() the array. */
MUST_CHECK int trust_list_volumes(struct trust *trust, struct uuid **ret_volumes,
				  size_t *ret_count);
/* The pinned volume with a backing directory of that path.  -ENOENT. */
MUST_CHECK int trust_volume_by_backing(struct trust *trust, const char *backing,
				       struct uuid *ret_volume);

/* ---- Data keys: one small file each, so that making one never rewrites the others ---------------------------------- */

MUST_CHECK int trust_dek_pin(struct trust *trust, const struct uuid *volume, const struct uuid *dek,
			     struct dek_pin *ret_pin);
/* Durable when it returns.  Generations never go down. */
MUST_CHECK int trust_pin_dek(struct trust *trust, const struct uuid *volume, const struct uuid *dek,
			     const struct dek_pin *pin);
/* Forget a DEK whose key record was deleted. */
MUST_CHECK int trust_forget_dek(struct trust *trust, const struct uuid *volume,
				const struct uuid *dek);

/* The DEK in use of a stream or root snapshot, so that it need not be searched.  -ENOENT. */
MUST_CHECK int trust_stream_dek(struct trust *trust, const struct uuid *volume,
				const struct uuid *snapshot, struct uuid *ret_dek);
MUST_CHECK int trust_set_stream_dek(struct trust *trust, const struct uuid *volume,
				    const struct uuid *snapshot, const struct uuid *dek);

/* ---- Snapshots: one small file each ------------------------------------------------------------------------------- */

/* The highest generation of a snapshot's labels that this host has written.  -ENOENT. */
MUST_CHECK int trust_labels_generation(struct trust *trust, const struct uuid *volume,
				       const struct uuid *snapshot, uint64_t *ret_generation);
MUST_CHECK int trust_see_labels(struct trust *trust, const struct uuid *volume,
				const struct uuid *snapshot, uint64_t generation);

/*
 * A whole verification of a sealed snapshot found nothing; ROOT is the root of its seal.  trust_is_verified():
 * was that the root?
 */
#define TRUST_ROOT_SIZE 32
MUST_CHECK int trust_see_verified(struct trust *trust, const struct uuid *volume,
				  const struct uuid *snapshot,
				  const uint8_t root[static TRUST_ROOT_SIZE]);
bool trust_is_verified(struct trust *trust, const struct uuid *volume, const struct uuid *snapshot,
		       const uint8_t root[static TRUST_ROOT_SIZE]);

/* Forget all that is known of a snapshot that was deleted. */
void trust_forget_snapshot(struct trust *trust, const struct uuid *volume,
			   const struct uuid *snapshot);

/* ---- KEKs: which URIs were given on this host, and the last definite answers --------------------------------------- */

/* Remember a URI given to init, keys set-default, add or rewrap.  KEY_ID may be NULL. */
MUST_CHECK int trust_add_kek(struct trust *trust, const char *uri, const char *key_id);
/* Remember a definite answer about a key (enabled, or a definite no). */
MUST_CHECK int trust_see_key_state(struct trust *trust, const char *key_id, enum key_state state);
/* The remembered definite no, or KEY_STATE_UNKNOWN. */
enum key_state trust_key_state(struct trust *trust, const char *key_id, int64_t *ret_since_s);
MUST_CHECK int trust_list_keks(struct trust *trust, struct kek_list *ret_list);

#endif
