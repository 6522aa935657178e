/* SPDX-License-Identifier: Apache-2.0 */
/* Which KEKs a mount depends on, and which DEKs are under each. */
#include "fs/mount/health_keys.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct watched_kek *find_kek(const struct health_keys *keys, const char *key_id)
{
	struct watched_kek *kek = keys->keks;

	while (kek && strcmp(kek->status.key_id, key_id) != 0)
		kek = kek->next;
	return kek;
}

static struct watched_kek *find_dek(const struct health_keys *keys, const struct uuid *dek_id,
				    size_t *ret_index)
{
	for (struct watched_kek *kek = keys->keks; kek; kek = kek->next) {
		for (size_t i = 0; i < kek->dek_count; i++) {
			if (!uuid_equal(&kek->deks[i].id, dek_id))
				continue;
			*ret_index = i;
			return kek;
		}
	}
	return NULL;
}

bool health_kek_is_in_use(const struct watched_kek *kek)
{
	return kek->dek_count > 0 || kek->has_spares;
}

/* RECORD becomes the KEK's, or is freed. */
static struct watched_kek *kek_of_record(struct health_keys *keys, struct key_record *record)
{
	const struct slot *primary = key_record_primary(record);
	struct watched_kek *kek = find_kek(keys, primary->key_id);

	if (kek) {
		key_record_free(record);
		return kek;
	}
	kek = calloc(1, sizeof(*kek));
	if (!kek) {
		key_record_free(record);
		return NULL;
	}
	memcpy(kek->status.key_id, primary->key_id, sizeof(kek->status.key_id));
	memcpy(kek->status.provider, primary->provider, sizeof(kek->status.provider));
	/* Something was opened or made under it, so it was enabled a moment ago. */
	kek->status.state = KEY_STATE_ENABLED;
	kek->status.since_s = time(NULL);
	kek->status.last_ok_s = kek->status.since_s;
	if (keys->is_recovered) {
		kek->status.state = KEY_STATE_UNKNOWN;
		kek->status.last_ok_s = 0;
		strcpy(kek->status.message, "data keys are opened with the recovery key");
	}
	kek->record = *record;
	kek->next = keys->keks;
	keys->keks = kek;
	return kek;
}

static void add_dek(struct watched_kek *kek, const struct watched_dek *dek)
{
	struct watched_dek *deks = reallocarray(kek->deks, kek->dek_count + 1, sizeof(*deks));

	/* Without memory it is learned next time. */
	if (!deks)
		return;
	kek->deks = deks;
	kek->deks[kek->dek_count++] = *dek;
	kek->status.data_keys = kek->dek_count;
}

/* An alternate slot opened the DEK, because KEK cannot be reached. */
static void note_strayed(struct watched_kek *kek, const struct kms_error *primary)
{
	struct mount_key_status *status = &kek->status;

	status->has_strayed = true;
	if (status->state != KEY_STATE_ENABLED)
		return;
	status->state = primary->state == KEY_STATE_CREDENTIALS_EXPIRED ? primary->state
									: KEY_STATE_UNREACHABLE;
	status->since_s = time(NULL);
	status->last_ok_s = 0;
	memcpy(status->message, primary->text, sizeof(status->message));
	memcpy(status->advice, primary->advice, sizeof(status->advice));
	kek->is_untold = true;
}

static void learn_dek(struct health_keys *keys, struct store *store, const struct uuid *dek_id)
{
	const struct watched_dek dek = { .id = *dek_id };
	struct key_record record;
	struct kms_error primary;
	size_t index;

	pthread_mutex_lock(&keys->lock);
	bool is_known = find_dek(keys, dek_id, &index) != NULL;

	pthread_mutex_unlock(&keys->lock);
	if (is_known || store_key_record(store, dek_id, &record, NULL) < 0)
		return;
	pthread_mutex_lock(&keys->lock);
	struct watched_kek *kek = kek_of_record(keys, &record);

	if (kek && !find_dek(keys, dek_id, &index)) {
		add_dek(kek, &dek);
		if (dek_ring_has_strayed(store_deks(store), dek_id, &primary))
			note_strayed(kek, &primary);
	}
	pthread_mutex_unlock(&keys->lock);
}

/* Of a KEK whose spares are withdrawn nothing is left that would show them. */
static void learn_spares(struct health_keys *keys, struct dek_ring *deks)
{
	struct key_record record;

	pthread_mutex_lock(&keys->lock);
	for (struct watched_kek *kek = keys->keks; kek; kek = kek->next)
		kek->has_spares = kek->spares_withdrawn_as != KEY_STATE_UNKNOWN &&
				  dek_ring_makes_under(deks, kek->status.key_id);
	for (size_t i = 0; dek_ring_made_record(deks, i, &record); i++) {
		struct watched_kek *kek = kek_of_record(keys, &record);

		if (kek)
			kek->has_spares = true;
	}
	pthread_mutex_unlock(&keys->lock);
}

void health_keys_learn(struct health_keys *keys, struct store *store)
{
	struct uuid *ids = NULL;
	size_t count = 0;

	if (!store_deks(store) || dek_ring_list(store_deks(store), &ids, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		learn_dek(keys, store, &ids[i]);
	free(ids);
	learn_spares(keys, store_deks(store));
}

/* The DEK at INDEX of KEK is under the primary of RECORD now, which becomes the KEK's or is freed.  True: it was moved. */
static bool place_dek(struct health_keys *keys, struct watched_kek *kek, size_t index,
		      struct key_record *record)
{
	const struct watched_dek dek = kek->deks[index];
	struct watched_kek *now = kek_of_record(keys, record);

	if (!now || now == kek)
		return false;
	kek->deks[index] = kek->deks[--kek->dek_count];
	kek->status.data_keys = kek->dek_count;
	add_dek(now, &dek);
	return true;
}

static bool dek_at(struct health_keys *keys, const struct watched_kek *kek, size_t index,
		   struct uuid *ret_id)
{
	pthread_mutex_lock(&keys->lock);
	bool is_there = index < kek->dek_count;

	if (is_there)
		*ret_id = kek->deks[index].id;
	pthread_mutex_unlock(&keys->lock);
	return is_there;
}

static void reread_deks(struct health_keys *keys, struct watched_kek *kek, struct store *store)
{
	struct uuid id;

	for (size_t i = 0; dek_at(keys, kek, i, &id);) {
		struct key_record record;
		bool is_moved = false;

		/* One that cannot be read says nothing new. */
		if (store_key_record(store, &id, &record, NULL) == 0) {
			pthread_mutex_lock(&keys->lock);
			is_moved = place_dek(keys, kek, i, &record);
			pthread_mutex_unlock(&keys->lock);
		}
		i += is_moved ? 0 : 1;
	}
}

void health_keys_reread(struct health_keys *keys, struct store *store)
{
	pthread_mutex_lock(&keys->lock);
	struct watched_kek *first = keys->keks;

	pthread_mutex_unlock(&keys->lock);
	for (struct watched_kek *kek = first; kek; kek = kek->next)
		reread_deks(keys, kek, store);
}

void health_keys_free(struct health_keys *keys)
{
	for (struct watched_kek *kek = keys->keks, *next; kek; kek = next) {
		next = kek->next;
		key_record_free(&kek->record);
		free(kek->deks);
		free(kek);
	}
	keys->keks = NULL;
}
