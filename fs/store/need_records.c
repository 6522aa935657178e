/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key records, markers and seals, as a scan reads them.
 *
 * Other than for an opened volume, what this host has pinned does not count here: a copy whose key records are older than the
 * volume's is no damaged volume, it needs the older key.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/store/beneath.h"
#include "fs/store/control.h"
#include "fs/store/need_internal.h"
#include "fs/store/store_internal.h"
#include "meta/records/key_record.h"
#include "meta/records/seal_record.h"

static bool is_uuid(const char *name)
{
	struct uuid id;

	return uuid_parse(name, &id) == 0;
}

/* ---- Key records ------------------------------------------------------------------------------------------------- */

static int add_slots(struct need_scan *scan, struct need_record *known,
		     const struct key_record *record)
{
	struct need_slot *grown = reallocarray(known->slots, known->slot_count + record->slot_count,
					       sizeof(*grown));
	int r = 0;

	if (!grown)
		return -ENOMEM;
	known->slots = grown;
	for (size_t i = 0; r == 0 && i < record->slot_count; i++) {
		const struct slot *slot = &record->slots[i];
		struct need_slot *added = &grown[known->slot_count++];

		added->role = slot->role;
		r = need_list_add_key(scan->list, slot->provider, slot->key_id, slot->key_alias,
				      &added->key);
	}
	known->owner = record->snapshot;
	known->period_start_s = record->period_start_s;
	known->is_usable = true;
	return r;
}

/* One generation: 1 if it is the one that counts, 0 to go on with older ones. */
static int read_generation(struct need_scan *scan, struct need_record *known, uint64_t generation)
{
	char directory[CONTROL_NAME_SIZE];
	char name[CONTROL_NAME_SIZE + 24];
	struct signed_record found;
	struct key_record record;
	int is_trusted;
	int r;

	key_directory(&known->dek, directory);
	snprintf(name, sizeof(name), "%s/%" PRIu64, directory, generation);
	r = signed_record_load(scan->trust, scan->control_fd, name, &found);
	if (r < 0)
		return r;
	is_trusted = trust_origin_is_trusted(found.origin);
	r = key_record_decode(found.record.line, &record);
	signed_record_free(&found);
	if (r < 0)
		return r;
	if (record.generation != generation || !uuid_equal(&record.volume, &scan->volume) ||
	    !uuid_equal(&record.dek, &known->dek)) {
		r = -EBADMSG;
	} else {
		/* Of writers that nobody has named here, any may be the one: every key counts. */
		if (is_trusted)
			known->slot_count = 0;
		r = add_slots(scan, known, &record);
	}
	key_record_free(&record);
	return r < 0 ? r : is_trusted;
}

static int read_record(struct need_scan *scan, struct need_record *known)
{
	char directory[CONTROL_NAME_SIZE];
	uint64_t *generations = NULL;
	size_t count = 0;
	int r;

	key_directory(&known->dek, directory);
	r = control_numbers(scan->control_fd, directory, &generations, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = read_generation(scan, known, generations[i]);
		/* Torn, or not a record: it does not count. */
		if (r == -EBADMSG || r == -ENOENT)
			r = 0;
	}
	free(generations);
	if (r == -ENOMEM)
		return r;
	if (r < 0 && r != -ENOENT)
		known->is_usable = false;
	return 0;
}

int need_read_records(struct need_scan *scan)
{
	char **names = NULL;
	size_t count = 0;
	int r = directory_names(scan->control_fd, "keys", is_uuid, &names, &count);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct need_record *record = NULL;
		struct uuid id;

		if (uuid_parse(names[i], &id) < 0)
			continue;
		HASH_FIND(hh, scan->records, &id, sizeof(id), record);
		if (record)
			continue;
		record = calloc(1, sizeof(*record));
		if (!record) {
			r = -ENOMEM;
			break;
		}
		record->dek = id;
		HASH_ADD(hh, scan->records, dek, sizeof(record->dek), record);
		r = read_record(scan, record);
	}
	names_free(names, count);
	return r;
}

int need_read_markers(struct need_scan *scan, const struct uuid *dek, struct uuid **ret_snapshots,
		      size_t *ret_count)
{
	char directory[CONTROL_NAME_SIZE];
	char path[CONTROL_NAME_SIZE + sizeof("/needed-by")];
	struct uuid *snapshots = NULL;
	char **names = NULL;
	size_t count = 0;
	size_t kept = 0;
	int r;

	key_directory(dek, directory);
	snprintf(path, sizeof(path), "%s/needed-by", directory);
	r = directory_names(scan->control_fd, path, is_uuid, &names, &count);
	if (r < 0 && r != -ENOENT)
		return r;
	snapshots = calloc(count + 1, sizeof(*snapshots));
	for (size_t i = 0; snapshots && i < count; i++)
		if (uuid_parse(names[i], &snapshots[kept]) == 0)
			kept++;
	names_free(names, count);
	if (!snapshots)
		return -ENOMEM;
	*ret_snapshots = snapshots;
	*ret_count = kept;
	return 0;
}

/* ---- Seals ------------------------------------------------------------------------------------------------------- */

/* Sequences of seals that a trusted tombstone has ended. */
struct deleted_seals {
	uint64_t *sequences;
	size_t count;
};

static bool is_deleted(const struct deleted_seals *deleted, uint64_t sequence)
{
	for (size_t i = 0; i < deleted->count; i++)
		if (deleted->sequences[i] == sequence)
			return true;
	return false;
}

static int note_tombstone(struct need_scan *scan, const struct signed_record *found,
			  struct deleted_seals *deleted)
{
	struct tombstone tombstone;
	int r = tombstone_decode(found->record.line, &tombstone);

	if (r < 0)
		return r;
	/* It allows a key to be deleted: so it must be somebody's who may say so. */
	if (trust_origin_is_trusted(found->origin) && tombstone.seal != 0 &&
	    uuid_equal(&tombstone.volume, &scan->volume))
		deleted->sequences[deleted->count++] = tombstone.seal;
	tombstone_free(&tombstone);
	return 0;
}

/* The place that a seal speaks of; one of its own where the directory is gone. */
static int sealed_place(struct need_scan *scan, const struct seal_record *seal, size_t *ret_index)
{
	struct need_place *place = need_find_place(scan, &seal->snapshot);
	struct need_place gone = {
		.sealed_name = NULL,
		.id = seal->snapshot,
		.has_identity = true,
		.kind = IDENTITY_SNAPSHOT,
		.is_encrypted = true,
		.created_s = seal->created_s,
		.is_walked = true,
	};
	int r = 0;

	if (!place) {
		gone.sealed_name = strdup(seal->name);
		r = gone.sealed_name ? need_add_place(scan, &gone, &place) : -ENOMEM;
		if (r < 0) {
			free(gone.sealed_name);
			return r;
		}
	}
	place->sealed_s = seal->sealed_s;
	*ret_index = (size_t)(place - scan->places);
	return 0;
}

static int note_seal(struct need_scan *scan, const struct signed_record *found)
{
	struct seal_record seal;
	size_t place = 0;
	int r = seal_record_decode(found->record.line, &seal);

	if (r < 0)
		return r;
	if (!uuid_equal(&seal.volume, &scan->volume)) {
		seal_record_free(&seal);
		return -EBADMSG;
	}
	r = sealed_place(scan, &seal, &place);
	if (r == 0)
		r = need_note(scan, place, &seal.dek);
	for (size_t i = 0; r == 0 && i < seal.dek_count; i++)
		r = need_note(scan, place, &seal.deks[i]);
	seal_record_free(&seal);
	return r;
}

static int read_one(struct need_scan *scan, uint64_t sequence, struct deleted_seals *deleted)
{
	char name[CONTROL_NAME_SIZE];
	struct signed_record found;
	enum record_type type;
	struct uuid volume;
	int r;

	snprintf(name, sizeof(name), "seals/%" PRIu64, sequence);
	r = signed_record_load(scan->trust, scan->control_fd, name, &found);
	if (r < 0)
		return r;
	r = record_peek(found.record.line, &type, &volume);
	if (r == 0 && type == RECORD_TOMBSTONE)
		r = note_tombstone(scan, &found, deleted);
	else if (r == 0 && type == RECORD_SEAL && !is_deleted(deleted, sequence))
		r = note_seal(scan, &found);
	signed_record_free(&found);
	return r;
}

int need_read_seals(struct need_scan *scan)
{
	struct deleted_seals deleted = { 0 };
	uint64_t *sequences = NULL;
	size_t count = 0;
	int r = control_numbers(scan->control_fd, "seals", &sequences, &count);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	deleted.sequences = calloc(count + 1, sizeof(*deleted.sequences));
	if (!deleted.sequences)
		r = -ENOMEM;
	/* Newest first: a tombstone comes after its seal. */
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = read_one(scan, sequences[i], &deleted);
		/* No whole record does not count; one that cannot be read might. */
		if (r == -EBADMSG)
			r = 0;
		if (r < 0 && r != -ENOMEM) {
			scan->unreadable++;
			r = 0;
		}
	}
	free(deleted.sequences);
	free(sequences);
	return r;
}
