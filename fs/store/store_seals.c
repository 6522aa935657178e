/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which data keys and snapshots are sealed: every seal record without a tombstone, read when the volume is opened.
 *
 * A seal counts whoever signed it (it only forbids), a tombstone only from a trusted writer (it allows again).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/seal_internal.h"

struct sealed_id *sealed_table_find(struct sealed_id *table, const struct uuid *id)
{
	struct sealed_id *found = NULL;

	HASH_FIND(hh, table, id, sizeof(*id), found);
	return found;
}

int sealed_table_add(struct sealed_id **table, const struct uuid *id)
{
	struct sealed_id *found = sealed_table_find(*table, id);

	if (!found) {
		found = calloc(1, sizeof(*found));
		if (!found)
			return -ENOMEM;
		found->id = *id;
		HASH_ADD(hh, *table, id, sizeof(found->id), found);
	}
	found->seal_count++;
	return 0;
}

void sealed_table_free(struct sealed_id **table)
{
	struct sealed_id *item;
	struct sealed_id *next;

	HASH_ITER (hh, *table, item, next) {
		HASH_DEL(*table, item);
		free(item);
	}
}

/* What reading the chain has found so far. */
struct chain {
	struct store *store;
	uint64_t trusted_sequence; /* highest of a trusted writer */
	bool has_previous;
	uint8_t previous[SEAL_ROOT_SIZE];
	uint64_t fault; /* lowest number at which the chain is broken; 0: none */
};

struct seal_note *seal_notes_next(struct store *store)
{
	struct seal_note *more = reallocarray(store->seals, store->seal_count + 1, sizeof(*more));

	if (!more)
		return NULL;
	store->seals = more;
	return &more[store->seal_count];
}

static void check_previous(struct chain *chain, uint64_t sequence, bool has_previous,
			   const uint8_t *previous)
{
	if (chain->fault == 0 && has_previous && chain->has_previous &&
	    memcmp(previous, chain->previous, SEAL_ROOT_SIZE) != 0)
		chain->fault = sequence;
}

static int note_seal(struct chain *chain, const struct signed_record *found, uint64_t sequence)
{
	struct store *store = chain->store;
	struct seal_record record;
	struct seal_note *note;
	int r = seal_record_decode(found->record.line, &record);

	if (r < 0)
		return r;
	note = seal_notes_next(store);
	if (record.sequence != sequence || !uuid_equal(&record.volume, &store->volume.volume))
		r = -EBADMSG;
	else if (!note)
		r = -ENOMEM;
	if (r == 0) {
		*note = (struct seal_note){
			.sequence = sequence,
			.snapshot = record.snapshot,
			.deks = TAKE(record.deks),
			.dek_count = record.dek_count,
			.is_trusted = trust_origin_is_trusted(found->origin),
		};
		store->seal_count++;
		check_previous(chain, sequence, record.has_previous, record.previous);
		r = seal_file_root(found, note->root);
	}
	seal_record_free(&record);
	return r;
}

void seal_notes_bury(struct store *store, const struct tombstone *tombstone)
{
	for (size_t i = 0; i < store->seal_count; i++) {
		if (store->seals[i].sequence == tombstone->seal &&
		    uuid_equal(&store->seals[i].snapshot, &tombstone->snapshot))
			store->seals[i].is_deleted = true;
	}
}

static int note_tombstone(struct chain *chain, const struct signed_record *found, uint64_t sequence)
{
	struct tombstone tombstone;
	int r = tombstone_decode(found->record.line, &tombstone);

	if (r < 0)
		return r;
	if (tombstone.sequence != sequence ||
	    !uuid_equal(&tombstone.volume, &chain->store->volume.volume)) {
		r = -EBADMSG;
	} else {
		check_previous(chain, sequence, tombstone.has_previous, tombstone.previous);
		if (trust_origin_is_trusted(found->origin))
			seal_notes_bury(chain->store, &tombstone);
		else
			r = -EACCES;
	}
	tombstone_free(&tombstone);
	return r;
}

static int note_record(struct chain *chain, const struct signed_record *record, uint64_t sequence)
{
	enum record_type type;
	struct uuid volume;
	int r = record_peek(record->record.line, &type, &volume);

	if (r == 0 && type == RECORD_SEAL)
		r = note_seal(chain, record, sequence);
	else if (r == 0)
		r = type == RECORD_TOMBSTONE ? note_tombstone(chain, record, sequence) : -EBADMSG;
	if (r == 0 || r == -EACCES) {
		const int hashed = seal_file_root(record, chain->previous);

		chain->has_previous = hashed == 0;
		return hashed < 0 ? hashed : r;
	}
	return r;
}

static int load_one(struct chain *chain, uint64_t sequence)
{
	struct store *store = chain->store;
	struct signed_record record;
	char name[CONTROL_NAME_SIZE];
	int r;

	snprintf(name, sizeof(name), "seals/%" PRIu64, sequence);
	r = signed_record_load(store->trust, store->control_fd, name, &record);
	if (r < 0)
		chain->has_previous = false;
	if (r == 0) {
		r = note_record(chain, &record, sequence);
		if (r == 0 && trust_origin_is_trusted(record.origin))
			chain->trusted_sequence = sequence;
		signed_record_free(&record);
	}
	if (r == -EBADMSG || r == -EACCES) {
		store_report(store, LOG_WARNING, name, "%s; it is ignored",
			     r == -EACCES ? "tombstone of a writer that is not trusted here"
					  : "not a whole record");
		return 0;
	}
	return r;
}

/* The tables of what is sealed, from the notes. */
int seal_notes_apply(struct store *store)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < store->seal_count; i++) {
		const struct seal_note *note = &store->seals[i];

		if (note->is_deleted)
			continue;
		r = sealed_table_add(&store->sealed_snapshots, &note->snapshot);
		for (size_t j = 0; r == 0 && j < note->dek_count; j++)
			r = sealed_table_add(&store->sealed_deks, &note->deks[j]);
	}
	return r;
}

/* Remember how far the chain reaches, so that its end cannot be cut off unnoticed. */
void seal_see_sequence(struct store *store, uint64_t sequence)
{
	int r = sequence > 0 ? trust_see_sequence(store->trust, &store->volume.volume, sequence)
			     : 0;

	/* A host that only reads may have nothing pinned, or may not be able to write it down. */
	if (r < 0 && store->is_writable)
		store_report(store, LOG_WARNING, "seals", "highest sequence not remembered: %s",
			     strerror(-r));
}

/* ---- What this host has seen before ------------------------------------------------------------------------------ */

const struct seal_note *seal_note_at(const struct store *store, uint64_t sequence)
{
	for (size_t i = store->seal_count; i > 0; i--)
		if (store->seals[i - 1].sequence == sequence)
			return &store->seals[i - 1];
	return NULL;
}

/* A snapshot that is sealed, as far as anybody here knows, and whose seal is not there: nothing of it is served. */
static int lose_seal(struct store *store, const struct uuid *snapshot, uint64_t sequence)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(snapshot, id);
	store_report(store, LOG_ERR, CONTROL_DIRECTORY "/seals",
		     "snapshot %s was sealed as %" PRIu64
		     ", and that record is gone or was exchanged",
		     id, sequence);
	return sealed_table_add(&store->sealed_snapshots, snapshot);
}

/* 1: one is missing or another. */
static int compare_known(struct store *store)
{
	int lost = 0;
	int r = trust_known_seals(store->trust, &store->volume.volume, &store->known_seals,
				  &store->known_seal_count);

	for (size_t i = 0; r == 0 && i < store->known_seal_count; i++) {
		const struct known_seal *known = &store->known_seals[i];
		struct seal_note *note =
			(struct seal_note *)(uintptr_t)seal_note_at(store, known->sequence);

		if (note && memcmp(note->root, known->root, sizeof(known->root)) == 0)
			continue;
		/* One in its place does not count. */
		if (note)
			note->is_deleted = true;
		lost = 1;
		r = lose_seal(store, &known->snapshot, known->sequence);
	}
	return r < 0 ? r : lost;
}

/* Nobody here has seen the record that a gap is for; a manifest tells which snapshot it could be of. */
static int lose_unsealed_manifests(struct store *store, uint64_t missing)
{
	char **names = NULL;
	size_t count = 0;
	int fd = open_beneath(store->control_fd, "manifests", O_RDONLY | O_DIRECTORY, 0);
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = directory_names(fd, ".", NULL, &names, &count);
	close(fd);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct uuid id;
		bool is_known = false;

		if (uuid_parse(names[i], &id) < 0)
			continue;
		for (size_t k = 0; k < store->seal_count; k++)
			is_known = is_known || uuid_equal(&store->seals[k].snapshot, &id);
		if (!is_known)
			r = lose_seal(store, &id, missing);
	}
	names_free(names, count);
	return r;
}

static int remember_seals(struct store *store)
{
	struct known_seal *seals = calloc(store->seal_count + 1, sizeof(*seals));
	size_t count = 0;
	int r = 0;

	if (!seals)
		return -ENOMEM;
	for (size_t i = 0; i < store->seal_count; i++) {
		const struct seal_note *note = &store->seals[i];

		if (note->is_deleted || !note->is_trusted)
			continue;
		seals[count] = (struct known_seal){
			.sequence = note->sequence,
			.snapshot = note->snapshot,
		};
		memcpy(seals[count++].root, note->root, sizeof(note->root));
	}
	if (count != store->known_seal_count ||
	    (count > 0 && memcmp(seals, store->known_seals, count * sizeof(*seals)) != 0))
		r = trust_set_known_seals(store->trust, &store->volume.volume, seals, count);
	if (r == 0) {
		free(store->known_seals);
		store->known_seals = TAKE(seals);
		store->known_seal_count = count;
	}
	free(seals);
	return r;
}

/* A host that only reads may have nothing pinned, or may not be able to write it down. */
void seal_remember(struct store *store)
{
	struct volume_pin pin;
	int r = trust_volume_pin(store->trust, &store->volume.volume, &pin);

	if (r == 0) {
		volume_pin_free(&pin);
		r = remember_seals(store);
	}
	if (r < 0 && store->is_writable)
		store_report(store, LOG_WARNING, "seals", "seals not remembered: %s", strerror(-r));
}

static int load_all(struct store *store, const uint64_t *sequences, size_t count, uint64_t missing,
		    struct store_error *reterr)
{
	struct chain chain = { .store = store };
	int lost;
	int r = 0;

	/* Oldest first: a tombstone follows its seal. */
	for (size_t i = count; r == 0 && i > 0; i--)
		r = load_one(&chain, sequences[i - 1]);
	lost = r < 0 ? r : compare_known(store);
	r = lost < 0 ? lost : seal_notes_apply(store);
	if (r == 0 && missing > 0)
		r = lose_unsealed_manifests(store, missing);
	if (r < 0)
		return r;
	if (chain.fault > 0)
		store_report(store, LOG_ERR, CONTROL_DIRECTORY "/seals",
			     "record %" PRIu64 " does not follow the one before it", chain.fault);
	if (lost == 0 && chain.fault == 0) {
		seal_see_sequence(store, chain.trusted_sequence);
		if (missing == 0)
			seal_remember(store);
		return 0;
	}
	if (!store->is_writable)
		return 0;
	store_fail(reterr, -EUCLEAN, EXIT_ORIGIN, "the chain of seals was tampered with");
	store_advise(reterr, "mount read-only, and see 'snapcrypt verify'");
	return -EUCLEAN;
}

/* The lowest number that should be there and is not; 0: none. */
static uint64_t missing_sequence(struct store *store, const uint64_t *sequences, size_t count)
{
	const uint64_t highest = count > 0 ? sequences[0] : 0;
	struct volume_pin pin;
	uint64_t seen = 0;

	for (size_t i = 0; i < count; i++) {
		if (sequences[count - 1 - i] != i + 1)
			return i + 1;
	}
	if (trust_volume_pin(store->trust, &store->volume.volume, &pin) == 0) {
		seen = pin.sequence;
		volume_pin_free(&pin);
	}
	return seen > highest ? highest + 1 : 0;
}

/* A seal that was taken away would make its snapshot writable again. */
static int check_chain(struct store *store, const uint64_t *sequences, size_t count,
		       struct store_error *reterr)
{
	const uint64_t missing = missing_sequence(store, sequences, count);

	if (missing == 0)
		return 0;
	store_report(store, LOG_ERR, CONTROL_DIRECTORY "/seals",
		     "record %" PRIu64 " is missing: a seal or tombstone was removed", missing);
	if (!store->is_writable)
		return 0;
	store_fail(reterr, -EUCLEAN, EXIT_ORIGIN,
		   "seal record %" PRIu64 " is missing: the chain of seals was tampered with",
		   missing);
	store_advise(reterr, "mount read-only, and see 'snapcrypt verify'");
	return -EUCLEAN;
}

int store_load_seals(struct store *store, struct store_error *reterr)
{
	uint64_t *sequences = NULL;
	size_t count = 0;
	int r = control_numbers(store->control_fd, "seals", &sequences, &count);

	if (r == -ENOENT)
		r = 0;
	if (r == 0)
		r = check_chain(store, sequences, count, reterr);
	if (r == 0) {
		store->seal_sequence = count > 0 ? sequences[0] : 0;
		r = load_all(store, sequences, count, missing_sequence(store, sequences, count),
			     reterr);
	}
	free(sequences);
	if (r == 0 || r == -EUCLEAN)
		return r;
	return store_fail(reterr, r, r == -ENOTSUP ? EXIT_NEWER : EXIT_STORAGE, "seal records: %s",
			  r == -ENOTSUP ? "one is of a newer format" : strerror(-r));
}

void store_free_seals(struct store *store)
{
	sealed_table_free(&store->sealed_deks);
	sealed_table_free(&store->sealed_snapshots);
	for (size_t i = 0; i < store->seal_count; i++)
		free(store->seals[i].deks);
	free(store->seals);
	free(store->known_seals);
	free(store->frozen.deks);
}
