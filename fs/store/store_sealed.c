/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of the chain of seals while a volume is open: what is sealed, what is being sealed, what was added. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/seal_internal.h"

static bool is_sealed(struct store *store, struct sealed_id *const *table, const struct uuid *id)
{
	const struct sealed_id *found;
	bool is_found;

	pthread_mutex_lock(&store->mutex);
	found = sealed_table_find(*table, id);
	is_found = found && found->seal_count > 0;
	pthread_mutex_unlock(&store->mutex);
	return is_found;
}

static bool is_frozen_dek(struct store *store, const struct uuid *dek_id)
{
	bool is_found = false;

	pthread_mutex_lock(&store->mutex);
	for (size_t i = 0; i < store->frozen.dek_count; i++)
		is_found = is_found || uuid_equal(&store->frozen.deks[i], dek_id);
	pthread_mutex_unlock(&store->mutex);
	return is_found;
}

bool store_dek_is_sealed(struct store *store, const struct uuid *dek_id)
{
	return is_sealed(store, &store->sealed_deks, dek_id) || is_frozen_dek(store, dek_id);
}

bool store_snapshot_is_sealed(struct store *store, const struct uuid *snapshot)
{
	return is_sealed(store, &store->sealed_snapshots, snapshot);
}

bool store_snapshot_is_frozen(struct store *store, const struct uuid *snapshot)
{
	bool is_frozen;

	pthread_mutex_lock(&store->mutex);
	is_frozen = store->frozen.is_frozen && uuid_equal(&store->frozen.snapshot, snapshot);
	pthread_mutex_unlock(&store->mutex);
	return is_frozen;
}

int store_freeze(struct store *store, const struct uuid *snapshot, const struct uuid *deks,
		 size_t count)
{
	struct uuid *copy = calloc(count + 1, sizeof(*copy));
	int r = 0;

	if (!copy)
		return -ENOMEM;
	if (count > 0)
		memcpy(copy, deks, count * sizeof(*copy));
	pthread_mutex_lock(&store->mutex);
	if (store->frozen.is_frozen)
		r = -EBUSY;
	else
		store->frozen = (struct frozen){ true, *snapshot, TAKE(copy), count };
	pthread_mutex_unlock(&store->mutex);
	free(copy);
	return r;
}

void store_thaw(struct store *store)
{
	pthread_mutex_lock(&store->mutex);
	free(store->frozen.deks);
	store->frozen = (struct frozen){ 0 };
	pthread_mutex_unlock(&store->mutex);
}

/* ---- While the volume is open ------------------------------------------------------------------------------------ */

uint64_t store_seal_sequence(struct store *store, const struct uuid *snapshot)
{
	uint64_t sequence = 0;

	pthread_mutex_lock(&store->mutex);
	for (size_t i = 0; i < store->seal_count; i++)
		if (!store->seals[i].is_deleted && uuid_equal(&store->seals[i].snapshot, snapshot))
			sequence = store->seals[i].sequence;
	pthread_mutex_unlock(&store->mutex);
	return sequence;
}

bool store_seal_is_live(struct store *store, uint64_t sequence)
{
	const struct seal_note *note;
	bool is_live;

	pthread_mutex_lock(&store->mutex);
	note = seal_note_at(store, sequence);
	is_live = note && !note->is_deleted;
	pthread_mutex_unlock(&store->mutex);
	return is_live;
}

uint64_t store_highest_seal(struct store *store)
{
	struct volume_pin pin;
	uint64_t highest = store->seal_sequence;

	if (trust_volume_pin(store->trust, &store->volume.volume, &pin) == 0) {
		if (pin.sequence > highest)
			highest = pin.sequence;
		volume_pin_free(&pin);
	}
	return highest;
}

bool store_root_is_expected(struct store *store, uint64_t sequence,
			    const uint8_t root[static SEAL_ROOT_SIZE])
{
	bool is_expected = true;

	pthread_mutex_lock(&store->mutex);
	for (size_t i = 0; i < store->known_seal_count; i++)
		if (store->known_seals[i].sequence == sequence)
			is_expected = memcmp(store->known_seals[i].root, root, SEAL_ROOT_SIZE) == 0;
	pthread_mutex_unlock(&store->mutex);
	return is_expected;
}

int store_seals_of_dek(struct store *store, const struct uuid *dek_id, uint64_t **ret_sequences,
		       size_t *ret_count)
{
	uint64_t *sequences;
	size_t count = 0;

	pthread_mutex_lock(&store->mutex);
	sequences = calloc(store->seal_count + 1, sizeof(*sequences));
	for (size_t i = store->seal_count; sequences && i > 0; i--) {
		const struct seal_note *note = &store->seals[i - 1];
		bool has_dek = false;

		for (size_t j = 0; !note->is_deleted && j < note->dek_count; j++)
			has_dek = has_dek || uuid_equal(&note->deks[j], dek_id);
		if (has_dek)
			sequences[count++] = note->sequence;
	}
	pthread_mutex_unlock(&store->mutex);
	if (!sequences)
		return -ENOMEM;
	*ret_sequences = sequences;
	*ret_count = count;
	return 0;
}

/* Under the store's mutex. */
static int add_own_seal(struct store *store, const struct seal_record *record, const uint8_t *root)
{
	struct seal_note *note = seal_notes_next(store);
	struct uuid *deks = calloc(record->dek_count + 1, sizeof(*deks));
	int r = note && deks ? 0 : -ENOMEM;

	if (r == 0) {
		memcpy(deks, record->deks, record->dek_count * sizeof(*deks));
		*note = (struct seal_note){
			.sequence = record->sequence,
			.snapshot = record->snapshot,
			.deks = TAKE(deks),
			.dek_count = record->dek_count,
			.is_trusted = true,
		};
		memcpy(note->root, root, sizeof(note->root));
		store->seal_count++;
		if (store->seal_sequence < record->sequence)
			store->seal_sequence = record->sequence;
		r = sealed_table_add(&store->sealed_snapshots, &record->snapshot);
	}
	for (size_t i = 0; r == 0 && i < record->dek_count; i++)
		r = sealed_table_add(&store->sealed_deks, &record->deks[i]);
	free(deks);
	return r;
}

int store_note_seal(struct store *store, const struct seal_record *record,
		    const uint8_t root[static SEAL_ROOT_SIZE])
{
	int r;

	pthread_mutex_lock(&store->mutex);
	r = add_own_seal(store, record, root);
	pthread_mutex_unlock(&store->mutex);
	if (r < 0)
		return r;
	seal_see_sequence(store, record->sequence);
	seal_remember(store);
	return 0;
}

int store_note_tombstone(struct store *store, const struct tombstone *tombstone,
			 const uint8_t root[static SEAL_ROOT_SIZE])
{
	int r;

	(void)root;
	pthread_mutex_lock(&store->mutex);
	seal_notes_bury(store, tombstone);
	if (store->seal_sequence < tombstone->sequence)
		store->seal_sequence = tombstone->sequence;
	sealed_table_free(&store->sealed_deks);
	sealed_table_free(&store->sealed_snapshots);
	r = seal_notes_apply(store);
	pthread_mutex_unlock(&store->mutex);
	seal_see_sequence(store, tombstone->sequence);
	seal_remember(store);
	return r;
}
