/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of sealing; for fs/store/seal*.c and store_seals.c only. */
#ifndef SNAPCRYPT_FS_STORE_SEAL_INTERNAL_H
#define SNAPCRYPT_FS_STORE_SEAL_INTERNAL_H

#include "fs/store/seal.h"
#include "fs/store/snapshot_internal.h"

/* ---- seal_records.c ------------------------------------------------------------------------------------------------ */

MUST_CHECK int seal_file_root(const struct signed_record *record,
			      uint8_t root[static SEAL_ROOT_SIZE]);

/* Line 1 of the record that is to be SEQUENCE; PREVIOUS is NULL for the first.  May be called several times. */
struct chain_append {
	int (*encode)(void *arg, uint64_t sequence, const uint8_t *previous, char **ret_line);
	void *arg;
};
MUST_CHECK int chain_append(struct store *store, const struct chain_append *append,
			    uint64_t *ret_sequence, uint8_t root[static SEAL_ROOT_SIZE]);

/* ---- store_seals.c: the chain as it was read; all but the last two under the store's mutex ------------------------- */

struct sealed_id *sealed_table_find(struct sealed_id *table, const struct uuid *id);
MUST_CHECK int sealed_table_add(struct sealed_id **table, const struct uuid *id);
void sealed_table_free(struct sealed_id **table);
/* Room for one note more: it counts once seal_count is raised.  NULL: no memory. */
struct seal_note *seal_notes_next(struct store *store);
const struct seal_note *seal_note_at(const struct store *store, uint64_t sequence);
void seal_notes_bury(struct store *store, const struct tombstone *tombstone);
/* The tables of what is sealed, from the notes. */
MUST_CHECK int seal_notes_apply(struct store *store);
/* In the state directory: how far the chain reaches, and its seals. */
void seal_see_sequence(struct store *store, uint64_t sequence);
void seal_remember(struct store *store);

/* ---- store_sealed.c: what is known of the chain while the volume is open ---------------------------------------------- */

/* The newest seal of a snapshot without a tombstone; 0: none. */
uint64_t store_seal_sequence(struct store *store, const struct uuid *snapshot);
/* Was the seal SEQUENCE, when it was read, without a trusted tombstone? */
bool store_seal_is_live(struct store *store, uint64_t sequence);
/* The highest number that is there or that this host has seen. */
uint64_t store_highest_seal(struct store *store);
/* Is ROOT the one that this host has seen under that number, if it has seen one? */
bool store_root_is_expected(struct store *store, uint64_t sequence,
			    const uint8_t root[static SEAL_ROOT_SIZE]);

/* A record was added: by this process. */
MUST_CHECK int store_note_seal(struct store *store, const struct seal_record *record,
			       const uint8_t root[static SEAL_ROOT_SIZE]);
MUST_CHECK int store_note_tombstone(struct store *store, const struct tombstone *tombstone,
				    const uint8_t root[static SEAL_ROOT_SIZE]);

/* Numbers of the seals whose DEKs include DEK, newest first, without tombstones; free() the array. */
MUST_CHECK int store_seals_of_dek(struct store *store, const struct uuid *dek_id,
				  uint64_t **ret_sequences, size_t *ret_count);

/*
 * While a snapshot is being sealed: it and COUNT DEKs count as sealed for those who want to write.  Not nested: -EBUSY.
 */
MUST_CHECK int store_freeze(struct store *store, const struct uuid *snapshot,
			    const struct uuid *deks, size_t count);
void store_thaw(struct store *store);

#endif
