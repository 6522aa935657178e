/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which data keys and snapshots are sealed: every seal record without a tombstone, read when the volume is opened.
 *
 * A seal counts whoever signed it (it only forbids), a tombstone only from a trusted writer (it allows again).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "fs/store/store_internal.h"
#include "meta/records/seal_record.h"

static struct sealed_id *find_sealed(struct sealed_id *table, const struct uuid *id)
{
	struct sealed_id *found = NULL;

	HASH_FIND(hh, table, id, sizeof(*id), found);
	return found;
}

static int add_sealed(struct sealed_id **table, const struct uuid *id)
{
	struct sealed_id *found = find_sealed(*table, id);

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

static void free_table(struct sealed_id **table)
{
	struct sealed_id *item;
	struct sealed_id *next;

	HASH_ITER (hh, *table, item, next) {
		HASH_DEL(*table, item);
		free(item);
	}
}

/* One seal; IS_DELETED: a trusted tombstone names it. */
struct seal_note {
	uint64_t sequence;
	struct uuid snapshot;
	struct uuid *deks;
	size_t dek_count;
	bool is_deleted;
};
struct seal_notes {
	struct seal_note *notes;
	size_t count;
	uint64_t trusted_sequence; /* highest of a trusted writer */
};

static int note_seal(struct store *store, struct seal_notes *notes, struct bytes line,
		     uint64_t sequence)
{
	struct seal_record record;
	int r = seal_record_decode(line, &record);

	if (r < 0)
		return r;
	if (record.sequence != sequence || !uuid_equal(&record.volume, &store->volume.volume)) {
		seal_record_free(&record);
		return -EBADMSG;
	}
	notes->notes[notes->count++] = (struct seal_note){
		.sequence = sequence,
		.snapshot = record.snapshot,
		.deks = TAKE(record.deks),
		.dek_count = record.dek_count,
	};
	seal_record_free(&record);
	return 0;
}

static int note_tombstone(struct store *store, struct seal_notes *notes, struct bytes line,
			  uint64_t sequence)
{
	struct tombstone tombstone;
	int r = tombstone_decode(line, &tombstone);

	if (r < 0)
		return r;
	if (tombstone.sequence != sequence || !uuid_equal(&tombstone.volume, &store->volume.volume))
		r = -EBADMSG;
	for (size_t i = 0; r == 0 && i < notes->count; i++) {
		if (notes->notes[i].sequence == tombstone.seal &&
		    uuid_equal(&notes->notes[i].snapshot, &tombstone.snapshot))
			notes->notes[i].is_deleted = true;
	}
	tombstone_free(&tombstone);
	return r;
}

static int note_record(struct store *store, struct seal_notes *notes,
		       const struct signed_record *record, uint64_t sequence)
{
	enum record_type type;
	struct uuid volume;
	int r = record_peek(record->record.line, &type, &volume);

	if (r < 0)
		return r;
	if (type == RECORD_SEAL)
		return note_seal(store, notes, record->record.line, sequence);
	if (type != RECORD_TOMBSTONE)
		return -EBADMSG;
	if (!trust_origin_is_trusted(record->origin))
		return -EACCES;
	return note_tombstone(store, notes, record->record.line, sequence);
}

static int load_one(struct store *store, struct seal_notes *notes, uint64_t sequence)
{
	struct signed_record record;
	char name[CONTROL_NAME_SIZE];
	int r;

	snprintf(name, sizeof(name), "seals/%" PRIu64, sequence);
	r = signed_record_load(store->trust, store->control_fd, name, &record);
	if (r == 0) {
		r = note_record(store, notes, &record, sequence);
		if (r == 0 && trust_origin_is_trusted(record.origin))
			notes->trusted_sequence = sequence;
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

static int apply_notes(struct store *store, const struct seal_notes *notes)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < notes->count; i++) {
		const struct seal_note *note = &notes->notes[i];

		if (note->is_deleted)
			continue;
		r = add_sealed(&store->sealed_snapshots, &note->snapshot);
		for (size_t j = 0; r == 0 && j < note->dek_count; j++)
			r = add_sealed(&store->sealed_deks, &note->deks[j]);
	}
	return r;
}

/* Remember how far the chain reaches, so that its end cannot be cut off unnoticed. */
static void see_sequence(struct store *store, uint64_t sequence)
{
	int r = sequence > 0 ? trust_see_sequence(store->trust, &store->volume.volume, sequence)
			     : 0;

	/* A host that only reads may have nothing pinned, or may not be able to write it down. */
	if (r < 0 && store->is_writable)
		store_report(store, LOG_WARNING, "seals", "highest sequence not remembered: %s",
			     strerror(-r));
}

static int load_all(struct store *store, const uint64_t *sequences, size_t count)
{
	struct seal_notes notes = { .notes = calloc(count + 1, sizeof(*notes.notes)) };
	int r = notes.notes ? 0 : -ENOMEM;

	/* Oldest first: a tombstone follows its seal. */
	for (size_t i = count; r == 0 && i > 0; i--)
		r = load_one(store, &notes, sequences[i - 1]);
	if (r == 0)
		r = apply_notes(store, &notes);
	if (r == 0)
		see_sequence(store, notes.trusted_sequence);
	for (size_t i = 0; i < notes.count; i++)
		free(notes.notes[i].deks);
	free(notes.notes);
	return r;
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
	if (r == 0) {
		r = check_chain(store, sequences, count, reterr);
		if (r < 0) {
			free(sequences);
			return r;
		}
	}
	if (r == 0 && count > 0) {
		store->seal_sequence = sequences[0];
		r = load_all(store, sequences, count);
	}
	free(sequences);
	if (r == 0)
		return 0;
	return store_fail(reterr, r, r == -ENOTSUP ? EXIT_NEWER : EXIT_STORAGE, "seal records: %s",
			  r == -ENOTSUP ? "one is of a newer format" : strerror(-r));
}

void store_free_seals(struct store *store)
{
	free_table(&store->sealed_deks);
	free_table(&store->sealed_snapshots);
}

static bool is_sealed(struct store *store, struct sealed_id *const *table, const struct uuid *id)
{
	const struct sealed_id *found;
	bool is_found;

	pthread_mutex_lock(&store->mutex);
	found = find_sealed(*table, id);
	is_found = found && found->seal_count > 0;
	pthread_mutex_unlock(&store->mutex);
	return is_found;
}

bool store_dek_is_sealed(struct store *store, const struct uuid *dek_id)
{
	return is_sealed(store, &store->sealed_deks, dek_id);
}

bool store_snapshot_is_sealed(struct store *store, const struct uuid *snapshot)
{
	return is_sealed(store, &store->sealed_snapshots, snapshot);
}
