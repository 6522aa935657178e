/* SPDX-License-Identifier: Apache-2.0 */
/* Data keys of a volume: key records, who may be written under, and new ones. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "fs/store/journal.h"
#include "fs/store/own_credentials.h"
#include "fs/store/store_internal.h"

#define LOOKS_MAX 5 /* at records that are being replaced */

static _Thread_local struct uuid wanted_dek;

const struct uuid *store_wanted_dek(void)
{
	return &wanted_dek;
}

int store_want(const struct uuid *dek_id)
{
	wanted_dek = *dek_id;
	return -EAGAIN;
}

void key_directory(const struct uuid *dek_id, char name[static CONTROL_NAME_SIZE])
{
	char id[UUID_TEXT_SIZE];

	uuid_format(dek_id, id);
	snprintf(name, CONTROL_NAME_SIZE, "keys/%s", id);
}

/* ---- The record that counts -------------------------------------------------------------------------------------- */

struct key_search {
	struct store *store;
	const struct uuid *dek_id;
	const struct dek_pin *pin; /* NULL: none */
	struct key_record *record;
	bool has_vanished; /* a rewrap removed one while we looked */
};

/* A DEK that is pinned keeps its commitment: another one under the same id is somebody else's key. */
static bool is_key_expected(const struct key_search *search, const struct key_record *record,
			    uint64_t generation)
{
	return record->generation == generation &&
	       uuid_equal(&record->volume, &search->store->volume.volume) &&
	       uuid_equal(&record->dek, search->dek_id) &&
	       (!search->pin || !search->pin->is_trusted ||
		memcmp(search->pin->commitment, record->commitment, DEK_COMMITMENT_SIZE) == 0);
}

static int decode_key(void *arg, struct bytes line, uint64_t generation)
{
	struct key_search *search = arg;
	struct key_record decoded;
	int r = key_record_decode(line, &decoded);

	if (r < 0)
		return r;
	if (!is_key_expected(search, &decoded, generation)) {
		key_record_free(&decoded);
		return -EBADMSG;
	}
	key_record_free(search->record);
	*search->record = decoded;
	return 0;
}

static void report_ignored(void *arg, const char *name, int error)
{
	struct key_search *search = arg;

	if (error == -ENOENT)
		search->has_vanished = true;
	else
		store_report(search->store, LOG_WARNING, name,
			     "not a whole key record of this volume and data key; it is ignored");
}

/* Remember a rewrap that a trusted writer made, so that the older record cannot come back. */
static void see_generation(struct store *store, const struct key_record *record,
			   const struct dek_pin *pin, enum trust_origin origin)
{
	const struct dek_pin seen = {
		.generation = record->generation,
		.snapshot = record->snapshot,
		.period_start_s = record->period_start_s,
	};
	struct dek_pin copy = seen;
	int r;

	if (!trust_origin_is_trusted(origin) || record->generation <= (pin ? pin->generation : 1))
		return;
	memcpy(copy.commitment, record->commitment, sizeof(copy.commitment));
	r = trust_pin_dek(store->trust, &record->volume, &record->dek, &copy);
	if (r < 0 && store->is_writable)
		store_report(store, LOG_WARNING, trust_state_dir(store->trust),
			     "generation of a key record not remembered: %s", strerror(-r));
}

static int check_key(struct store *store, const struct key_record *record,
		     const struct dek_pin *pin, enum trust_origin origin)
{
	char name[CONTROL_NAME_SIZE];

	key_directory(&record->dek, name);
	if (pin && record->generation < pin->generation) {
		store_report(store, LOG_ERR, name,
			     "generation %" PRIu64 " is below %" PRIu64
			     ", which this host has seen: the newer key record was removed",
			     record->generation, pin->generation);
		return -EBADMSG;
	}
	if (trust_requires_origin(store->trust) && !trust_origin_is_trusted(origin) &&
	    !(pin && pin->is_trusted)) {
		store_report(store, LOG_ERR, name,
			     "origin not verified, and require_trusted_origin is set");
		return -EACCES;
	}
	return 0;
}

int store_key_record(struct store *store, const struct uuid *dek_id, struct key_record *ret_record,
		     enum trust_origin *ret_origin)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	char name[CONTROL_NAME_SIZE];
	struct key_record record = { 0 };
	struct chosen_record chosen = { 0 };
	struct dek_pin pin;
	int pinned = trust_dek_pin(store->trust, &store->volume.volume, dek_id, &pin);
	struct key_search search = {
		.store = store,
		.dek_id = dek_id,
		.pin = pinned == 0 ? &pin : NULL,
		.record = &record,
	};
	const struct record_choice choice = {
		.directory = name,
		.decode = decode_key,
		.ignored = report_ignored,
		.arg = &search,
	};
	int r;

	(void)saved;
	if (pinned < 0 && pinned != -ENOENT)
		return pinned;
	key_directory(dek_id, name);
	r = control_choose(store->trust, store->control_fd, &choice, &chosen);
	for (int i = 0; search.has_vanished && r < 0 && i < LOOKS_MAX; i++) {
		search.has_vanished = false;
		r = control_choose(store->trust, store->control_fd, &choice, &chosen);
	}
	if (r == 0)
		r = check_key(store, &record, search.pin, chosen.origin);
	if (r < 0) {
		key_record_free(&record);
		return r;
	}
	see_generation(store, &record, search.pin, chosen.origin);
	if (ret_origin)
		*ret_origin = chosen.origin;
	*ret_record = record;
	return 0;
}

/* ---- The ring ---------------------------------------------------------------------------------------------------- */

static struct dek_note *note_of(struct store *store, const struct uuid *dek_id)
{
	struct dek_note *note = NULL;

	HASH_FIND(hh, store->notes, dek_id, sizeof(*dek_id), note);
	return note;
}

/* The note, made if there is none; with the mutex held. */
static struct dek_note *note_get(struct store *store, const struct uuid *dek_id)
{
	struct dek_note *note = note_of(store, dek_id);

	if (note)
		return note;
	note = calloc(1, sizeof(*note));
	if (!note)
		return NULL;
	note->id = *dek_id;
	HASH_ADD(hh, store->notes, id, sizeof(note->id), note);
	return note;
}

void store_refuse_writes(struct store *store, const struct uuid *dek_id, int error)
{
	struct dek_note *note;

	pthread_mutex_lock(&store->mutex);
	note = note_get(store, dek_id);
	if (note)
		note->write_refusal = error;
	pthread_mutex_unlock(&store->mutex);
}

static int write_refusal(struct store *store, const struct uuid *dek_id)
{
	const struct dek_note *note;
	int r;

	pthread_mutex_lock(&store->mutex);
	note = note_of(store, dek_id);
	r = note ? note->write_refusal : 0;
	pthread_mutex_unlock(&store->mutex);
	return r;
}

/* What a DEK's record says, for those who ask later whether it may be written under. */
int store_take_note(struct store *store, const struct key_record *record, bool is_trusted)
{
	struct dek_note *note;

	pthread_mutex_lock(&store->mutex);
	note = note_get(store, &record->dek);
	if (note) {
		note->snapshot = record->snapshot;
		memcpy(note->commitment, record->commitment, sizeof(note->commitment));
		note->is_origin_trusted = is_trusted;
		note->may_write = false;
		note->is_refused = false;
	}
	pthread_mutex_unlock(&store->mutex);
	return note ? 0 : -ENOMEM;
}

bool store_dek_snapshot(struct store *store, const struct uuid *dek_id, struct uuid *ret_snapshot)
{
	const struct dek_note *note;

	pthread_mutex_lock(&store->mutex);
	note = note_of(store, dek_id);
	if (note)
		*ret_snapshot = note->snapshot;
	pthread_mutex_unlock(&store->mutex);
	return note != NULL;
}

/* On key threads. */
static int load_record(void *arg, const struct uuid *dek_id, struct key_record *ret_record,
		       struct kms_error *reterr)
{
	struct store *store = arg;
	struct key_record record;
	enum trust_origin origin;
	char id[UUID_TEXT_SIZE];
	int r = store_key_record(store, dek_id, &record, &origin);

	if (r == 0) {
		r = store_take_note(store, &record, trust_origin_is_trusted(origin));
		if (r < 0)
			key_record_free(&record);
	}
	if (r < 0) {
		uuid_format(dek_id, id);
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "key record of data key %s: %s", id,
				r == -ENOENT    ? "there is none"
				: r == -EBADMSG ? "none is authentic"
						: strerror(-r));
	}
	*ret_record = record;
	return 0;
}

static bool is_pinned_trusted(struct store *store, const struct dek *dek,
			      const uint8_t commitment[static DEK_COMMITMENT_SIZE])
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	struct dek_pin pin;

	(void)saved;
	return trust_dek_pin(store->trust, dek_volume(dek), dek_id(dek), &pin) == 0 &&
	       pin.is_trusted && memcmp(pin.commitment, commitment, sizeof(pin.commitment)) == 0;
}

/* May this host write under DEK?  Decided once for each time that it is opened. */
int store_check_trust(struct store *store, const struct dek *dek)
{
	uint8_t commitment[DEK_COMMITMENT_SIZE];
	struct dek_note *note;
	bool is_trusted;
	bool is_new_refusal = false;
	int r = dek_commitment(dek, commitment);

	if (r < 0)
		return r;
	pthread_mutex_lock(&store->mutex);
	note = note_of(store, dek_id(dek));
	is_trusted = note && (note->may_write ||
			      (note->is_origin_trusted &&
			       memcmp(note->commitment, commitment, sizeof(commitment)) == 0));
	if (!is_trusted && !(note && note->is_refused)) {
		is_trusted = is_pinned_trusted(store, dek, commitment);
		is_new_refusal = !is_trusted;
	}
	if (note) {
		note->may_write = is_trusted;
		note->is_refused = !is_trusted;
	}
	pthread_mutex_unlock(&store->mutex);
	if (is_new_refusal) {
		char name[CONTROL_NAME_SIZE];

		key_directory(dek_id(dek), name);
		store_report(
			store, LOG_ERR, name,
			"data key of an unknown writer: nothing is written under it; if it is yours: 'snapcrypt keys trust'");
	}
	return is_trusted ? 0 : -EACCES;
}

/* On a key thread, before anybody gets the DEK: what a dead mount left under it comes first. */
static int apply_left_overs(void *arg, struct dek *dek)
{
	struct store *store = arg;

	if (!store->recovery || !recovery_is_needed(store->recovery, dek_id(dek)))
		return 0;
	/* Read-only, nothing is written: the records are checked and overlaid. */
	if (store->is_writable && store_check_trust(store, dek) < 0) {
		store_report(store, LOG_WARNING, CONTROL_DIRECTORY "/journal",
			     "left-over changes under a data key that is not trusted here wait");
		return 0;
	}
	return recovery_apply(store->recovery, dek);
}

/* The settings that new DEKs are made with, copied: commands may change them meanwhile. */
struct settings {
	char uri[KEY_ID_SIZE];
	struct volume_record volume;
	const char *alternates[VOLUME_ALTERNATES_MAX];
};

static void settings_free(struct settings *settings)
{
	volume_record_free(&settings->volume);
}

/* SETTINGS is the request's memory; settings_free(). */
static int fill_request(struct store *store, const struct uuid *snapshot, struct settings *settings,
			struct dek_request *request)
{
	const struct volume_record *volume = &settings->volume;
	int r = store_copy_volume(store, &settings->volume);

	if (r < 0)
		return r;
	pthread_mutex_lock(&store->mutex);
	strcpy(settings->uri, store->default_key);
	pthread_mutex_unlock(&store->mutex);
	if (!store->is_writable || !volume->is_encrypted || settings->uri[0] == '\0')
		return -EROFS;
	*request = (struct dek_request){
		.uri = settings->uri,
		.context = { .volume = volume->volume },
		.alternates = settings->alternates,
		.recovery_keys = volume->recovery_keys,
		.recovery_key_count = volume->recovery_key_count,
	};
	for (size_t i = 0; i < volume->alternate_key_count; i++)
		if (strcmp(volume->alternate_keys[i].uri, settings->uri) != 0)
			settings->alternates[request->alternate_count++] =
				volume->alternate_keys[i].uri;
	if (snapshot)
		request->context.snapshot = *snapshot;
	return 0;
}

int store_keep_spares(struct store *store)
{
	struct settings settings = { 0 };
	struct dek_request request;
	int r = 0;

	if (!store->deks || store->spare_keys == 0)
		return 0;
	if (fill_request(store, NULL, &settings, &request) == 0)
		r = dek_ring_keep_spares(store->deks, &store->volume.volume, &request,
					 store->spare_keys);
	settings_free(&settings);
	return r;
}

int store_start_keys(struct store *store, unsigned spare_keys)
{
	const struct dek_ring_options options = {
		.kms = store->kms,
		.load = load_record,
		.opened = apply_left_overs,
		.strayed = store_key_strayed,
		.arg = store,
	};
	int r;

	if (!store->kms)
		return 0;
	store->spare_keys = spare_keys;
	r = dek_ring_create(&options, &store->deks);
	return r < 0 ? r : store_keep_spares(store);
}

void store_stop_keys(struct store *store)
{
	struct dek_note *note;
	struct dek_note *next;

	dek_ring_free(store->deks);
	store->deks = NULL;
	HASH_ITER (hh, store->notes, note, next) {
		HASH_DEL(store->notes, note);
		free(note);
	}
}

int store_dek(struct store *store, const struct uuid *dek_id, struct dek **ret_dek)
{
	int r;

	if (!store->deks)
		return -ENOKEY;
	if (store->can_block)
		return dek_ring_get(store->deks, dek_id, ret_dek, NULL);
	r = dek_ring_try(store->deks, dek_id, ret_dek);
	return r == -EAGAIN ? store_want(dek_id) : r;
}

int store_dek_for_write(struct store *store, const struct uuid *dek_id, struct dek **ret_dek)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	int r;

	if (!store->is_writable || store_dek_is_sealed(store, dek_id))
		return -EROFS;
	r = write_refusal(store, dek_id);
	if (r == 0)
		r = store_dek(store, dek_id, &dek);
	if (r == 0)
		r = store_check_trust(store, dek);
	if (r < 0)
		return r;
	*ret_dek = TAKE(dek);
	return 0;
}

int store_take_dek(struct store *store, const struct uuid *snapshot, struct key_record *ret_record,
		   struct dek **ret_dek)
{
	const struct uuid *ticket = snapshot ? snapshot : &store->volume.volume;
	struct settings settings = { 0 };
	struct dek_request request;
	int r = fill_request(store, snapshot, &settings, &request);

	if (r == 0 && !store->deks)
		r = -ENOKEY;
	if (r == 0 && store->can_block)
		r = dek_ring_take_blocking(store->deks, ticket, &request, ret_record, ret_dek,
					   NULL);
	else if (r == 0)
		r = dek_ring_take(store->deks, ticket, &request, ret_record, ret_dek);
	settings_free(&settings);
	return r == -EAGAIN ? store_want(ticket) : r;
}
