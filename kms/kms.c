/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KEKs that may be contacted, and making, opening and rewrapping DEKs.
 *
 * What cannot be wiped: libcurl and json-c buffers see a slot secret (never a DEK) once per wrap or unwrap; OpenSSL keeps
 * the key schedule while a key is in use.
 */
#include "kms/kms.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kms/crypto/random.h"
#include "kms/envelope.h"
#include "kms/retry.h"

#define KEY_TIMEOUT_DEFAULT_MS 10000

/* One KEK that may be contacted.  Never removed before kms_close(). */
struct kek {
	const struct kms_provider *provider;
	void *state;
	char *uri;
	struct kek *next;
};

struct kms {
	struct kms_options options;
	pthread_mutex_t lock;
	struct kek *keks;
};

int kms_open(const struct kms_options *options, struct kms **ret_kms, struct kms_error *reterr)
{
	struct kms *kms;
	int r;

	r = secret_init();
	if (r < 0) {
		r = kms_fail(reterr, r, KEY_STATE_UNKNOWN, "memory for keys cannot be locked");
		kms_advise(reterr, "raise the limit of locked memory (ulimit -l, LimitMEMLOCK=)");
		return r;
	}
	kms = calloc(1, sizeof(*kms));
	if (!kms)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	kms->options = *options;
	if (!kms->options.key_timeout_ms)
		kms->options.key_timeout_ms = KEY_TIMEOUT_DEFAULT_MS;
	pthread_mutex_init(&kms->lock, NULL);
	*ret_kms = kms;
	return 0;
}

void kms_close(struct kms *kms)
{
	if (!kms)
		return;
	while (kms->keks) {
		struct kek *kek = kms->keks;

		kms->keks = kek->next;
		kek->provider->close(kek->state);
		free(kek->uri);
		free(kek);
	}
	pthread_mutex_destroy(&kms->lock);
	free(kms);
}

static struct kek *kek_first(struct kms *kms)
{
	struct kek *kek;

	pthread_mutex_lock(&kms->lock);
	kek = kms->keks;
	pthread_mutex_unlock(&kms->lock);
	return kek;
}

static struct kek *kek_by_uri(struct kms *kms, const char *uri)
{
	for (struct kek *kek = kek_first(kms); kek; kek = kek->next)
		if (!strcmp(kek->uri, uri))
			return kek;
	return NULL;
}

static struct kek *kek_of_slot(struct kms *kms, const struct slot *slot)
{
	for (struct kek *kek = kek_first(kms); kek; kek = kek->next)
		if (!strcmp(kek->provider->name, slot->provider) &&
		    kek->provider->owns(kek->state, slot))
			return kek;
	return NULL;
}

int kms_add_key(struct kms *kms, const struct kms_config *config, struct kms_error *reterr)
{
	const struct kms_provider *provider = kms_provider_for_uri(config->uri);
	struct kek *kek;
	int r;

	if (kek_by_uri(kms, config->uri))
		return 0;
	if (!provider) {
		r = kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			     "%s: no key service has this scheme", config->uri);
		kms_advise(reterr, "see 'URI schemes' in snapcrypt(1)");
		return r;
	}
	kek = calloc(1, sizeof(*kek));
	if (!kek)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	kek->provider = provider;
	kek->uri = strdup(config->uri);
	r = kek->uri ? provider->open(config, &kek->state, reterr) : -ENOMEM;
	if (r < 0) {
		free(kek->uri);
		free(kek);
		return r;
	}
	pthread_mutex_lock(&kms->lock);
	kek->next = kms->keks;
	kms->keks = kek;
	pthread_mutex_unlock(&kms->lock);
	return 0;
}

bool kms_can_reach(struct kms *kms, const struct slot *slot)
{
	return kek_of_slot(kms, slot) != NULL;
}

static struct kek *kek_required(struct kms *kms, const char *uri, struct kms_error *reterr)
{
	struct kek *kek = kek_by_uri(kms, uri);

	if (!kek)
		(void)kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			       "%s was not allowed to be contacted", uri);
	return kek;
}

int kms_describe(struct kms *kms, const char *uri, struct kms_key_info *ret_info,
		 struct kms_error *reterr)
{
	struct kek *kek = kek_required(kms, uri, reterr);
	struct kms_error error = { 0 };
	struct retry retry;
	int r;

	if (!kek)
		return -EINVAL;
	retry_begin(&retry, kms->options.key_timeout_ms, NULL);
	do
		r = kek->provider->describe(kek->state, &retry.call, ret_info, &error);
	while (r < 0 && retry_again(&retry, &error));
	if (r < 0 && reterr)
		*reterr = error;
	return r;
}

static void report(struct kms *kms, const struct kms_error *error, const struct slot *slot)
{
	if (kms->options.audit)
		kms->options.audit(kms->options.audit_arg, error, slot);
}

/* Have the service wrap a secret into SLOT, whose ids and role are set. */
static int wrap_secret(struct kms *kms, struct kek *kek, struct slot *slot,
		       struct secret **ret_secret, struct kms_error *reterr)
{
	const struct wrap_context context = { .volume = slot->volume, .snapshot = slot->snapshot };
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	struct kms_error error = { 0 };
	struct retry retry;
	int r;

	if (!kek->provider->generate) {
		r = secret_new(SLOT_SECRET_SIZE, &secret);
		if (r == 0)
			r = random_fill(secret_data(secret), SLOT_SECRET_SIZE);
		if (r < 0)
			return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "drawing a secret: %s",
					strerror(-r));
	}
	retry_begin(&retry, kms->options.key_timeout_ms, NULL);
	do {
		if (kek->provider->generate)
			r = kek->provider->generate(kek->state, &retry.call, &context, slot,
						    &secret, &error);
		else
			r = kek->provider->wrap(kek->state, &retry.call, &context, secret, slot,
						&error);
	} while (r < 0 && retry_again(&retry, &error));
	error.code = r;
	report(kms, &error, slot);
	if (r < 0) {
		if (reterr)
			*reterr = error;
		return r;
	}
	*ret_secret = TAKE(secret);
	return 0;
}

/* A new slot of DEK under KEK. */
static int make_slot(struct kms *kms, struct kek *kek, const struct dek *dek, struct slot *slot,
		     struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	int r;

	r = random_uuid(&slot->slot);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "drawing an id: %s", strerror(-r));
	r = wrap_secret(kms, kek, slot, &secret, reterr);
	if (r < 0)
		return r;
	r = envelope_seal_slot(dek, secret, slot);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "sealing a slot: %s", strerror(-r));
	return 0;
}

/*
 * A recovery key as a KEK that can only wrap.  It is not among those that may be contacted: its private key is offline.
 */
static int kms_open_recovery(const struct recovery_key *key,
			     const struct kms_provider **ret_provider, void **ret_state,
			     struct kms_error *reterr)
{
	const struct kms_setting settings[] = { { "pem", key->pem }, { "id", key->id } };
	const struct kms_config config = { .uri = key->id,
					   .settings = settings,
					   .setting_count = ARRAY_SIZE(settings) };
	const struct kms_provider *provider = kms_provider_by_name("recovery");

	if (!provider)
		return kms_fail(reterr, -ENOTSUP, KEY_STATE_UNKNOWN,
				"this build has no recovery keys");
	*ret_provider = provider;
	return provider->open(&config, ret_state, reterr);
}

int kms_authenticate_record(const struct dek *dek, struct key_record *record)
{
	struct bytes table;
	int r;

	r = key_record_encode_mac_input(record);
	if (r < 0)
		return r;
	table = bytes_from_text(record->mac_input);
	return dek_mac(dek, DEK_LABEL_SLOTS, &table, 1, record->mac);
}

/* Add a slot to a record that has none for it yet. */
static int add_slot(struct kms *kms, struct kek *kek, enum slot_role role, const struct dek *dek,
		    struct key_record *record, struct kms_error *reterr)
{
	struct slot *slot = &record->slots[record->slot_count];

	*slot = (struct slot){ .volume = record->volume,
			       .snapshot = record->snapshot,
			       .dek = record->dek,
			       .role = role };
	record->slot_count++;
	return make_slot(kms, kek, dek, slot, reterr);
}

static int fill_record(struct kms *kms, struct kek *kek, const struct dek_request *request,
		       const struct dek *dek, struct key_record *record, struct kms_error *reterr)
{
	int r;

	if (request->recovery_key_count >= KEY_SLOTS_MAX)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN, "at most %d recovery keys",
				KEY_SLOTS_MAX - 1);
	record->dek = *dek_id(dek);
	record->slots = calloc(1 + request->recovery_key_count, sizeof(*record->slots));
	if (!record->slots)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	r = add_slot(kms, kek, SLOT_PRIMARY, dek, record, reterr);
	for (size_t i = 0; r == 0 && i < request->recovery_key_count; i++) {
		struct kek recovery = { 0 };

		r = kms_open_recovery(&request->recovery_keys[i], &recovery.provider,
				      &recovery.state, reterr);
		if (r < 0)
			break;
		r = add_slot(kms, &recovery, SLOT_RECOVERY, dek, record, reterr);
		recovery.provider->close(recovery.state);
	}
	if (r < 0)
		return r;
	r = dek_commitment(dek, record->commitment);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "making a key record: %s",
				strerror(-r));
	return 0;
}

int kms_create_dek(struct kms *kms, const struct dek_request *request,
		   struct key_record *ret_record, struct dek **ret_dek, struct kms_error *reterr)
{
	struct kek *kek = kek_required(kms, request->uri, reterr);
	struct key_record record = { .volume = request->context.volume,
				     .snapshot = request->context.snapshot };
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	int r = 0;

	if (!kek)
		return -EINVAL;
	if (uuid_is_zero(&record.snapshot))
		r = random_uuid(&record.snapshot);
	if (r == 0)
		r = dek_generate(&record.volume, &dek);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "drawing a data key: %s",
				strerror(-r));
	r = fill_record(kms, kek, request, dek, &record, reterr);
	if (r < 0) {
		key_record_free(&record);
		return r;
	}
	*ret_record = record;
	*ret_dek = TAKE(dek);
	return 0;
}

/* Ask one KEK for one slot's secret, and open the DEK with it. */
static int open_slot(struct kms *kms, struct kek *kek, const struct key_record *record,
		     const struct slot *slot, struct dek **ret_dek, struct kms_error *reterr)
{
	const struct wrap_context context = { .volume = record->volume,
					      .snapshot = record->snapshot };
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	struct kms_error error = { 0 };
	struct retry retry;
	int r;

	retry_begin(&retry, kms->options.key_timeout_ms, NULL);
	do
		r = kek->provider->unwrap(kek->state, &retry.call, &context, slot, &secret, &error);
	while (r < 0 && retry_again(&retry, &error));
	if (r == 0 && secret_bytes(secret).size != SLOT_SECRET_SIZE)
		r = kms_fail(&error, -EKEYREJECTED, KEY_STATE_UNKNOWN,
			     "%s unwrapped to something else", slot->key_id);
	if (r == 0)
		r = envelope_open(record, slot, secret, ret_dek, &error);
	error.code = r;
	report(kms, &error, slot);
	if (r < 0 && reterr)
		*reterr = error;
	return r;
}

/* Only an unreachable primary lets another slot open; expired credentials count as unreachable. */
static bool may_use_alternate(int code)
{
	return code == -EHOSTUNREACH || code == -ETIMEDOUT || code == -EKEYEXPIRED;
}

static int open_alternate(struct kms *kms, const struct key_record *record, struct dek **ret_dek,
			  size_t *ret_slot_index)
{
	for (size_t i = 0; i < record->slot_count; i++) {
		const struct slot *slot = &record->slots[i];
		struct kek *kek = slot->role == SLOT_ALTERNATE ? kek_of_slot(kms, slot) : NULL;

		if (!kek || open_slot(kms, kek, record, slot, ret_dek, NULL) < 0)
			continue;
		if (ret_slot_index)
			*ret_slot_index = i;
		return 0;
	}
	return -EHOSTUNREACH;
}

int kms_unwrap_dek(struct kms *kms, const struct key_record *record, struct dek **ret_dek,
		   size_t *ret_slot_index, struct kms_error *reterr)
{
	const struct slot *primary = key_record_primary(record);
	struct kek *kek;
	int r;

	if (kms->options.is_write_only)
		return kms_fail(reterr, -EACCES, KEY_STATE_DENIED,
				"this host is write-only; it may not open stored data keys");
	kek = kek_of_slot(kms, primary);
	if (!kek) {
		r = kms_fail(reterr, -ENOKEY, KEY_STATE_UNKNOWN,
			     "nothing on this host names key %s", primary->key_id);
		kms_advise(reterr, !strcmp(primary->provider, "keyring")
					   ? "give the file with --keyring FILE"
					   : "give it with --key URI, or in a [key] section");
		return r;
	}
	r = open_slot(kms, kek, record, primary, ret_dek, reterr);
	if (r == 0 && ret_slot_index)
		*ret_slot_index = (size_t)(primary - record->slots);
	if (may_use_alternate(r) && open_alternate(kms, record, ret_dek, ret_slot_index) == 0)
		return 0;
	return r;
}

int kms_probe(struct kms *kms, const struct key_record *record, struct kms_error *reterr)
{
	const struct wrap_context context = { .volume = record->volume,
					      .snapshot = record->snapshot };
	const struct slot *primary = key_record_primary(record);
	struct kek *kek = kek_of_slot(kms, primary);
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct kms_error error = { 0 };
	struct retry retry;
	int r;

	if (!kek)
		return kms_fail(reterr, -ENOKEY, KEY_STATE_UNKNOWN,
				"nothing on this host names key %s", primary->key_id);
	if (!kek->provider->probe)
		return open_slot(kms, kek, record, primary, &dek, reterr);
	retry_begin(&retry, kms->options.key_timeout_ms, NULL);
	do
		r = kek->provider->probe(kek->state, &retry.call, &context, primary, &error);
	while (r < 0 && retry_again(&retry, &error));
	error.code = r;
	if (r < 0)
		report(kms, &error, primary);
	if (r < 0 && reterr)
		*reterr = error;
	return r;
}

int kms_test_key(struct kms *kms, const char *uri, struct kms_key_info *ret_info,
		 struct kms_error *reterr)
{
	CLEANUP(dek_cleanup) struct dek *made = NULL;
	CLEANUP(dek_cleanup) struct dek *opened = NULL;
	struct dek_request request = { .uri = uri };
	struct key_record record = { 0 };
	int r;

	r = random_uuid(&request.context.volume);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "drawing an id: %s", strerror(-r));
	r = kms_create_dek(kms, &request, &record, &made, reterr);
	if (r < 0)
		return r;
	*ret_info = (struct kms_key_info){ .state = KEY_STATE_ENABLED };
	memcpy(ret_info->key_id, record.slots[0].key_id, sizeof(ret_info->key_id));
	record.generation = 1;
	r = kms_authenticate_record(made, &record);
	/* envelope_open() compares with the commitment of what was wrapped. */
	if (r == 0 && !kms->options.is_write_only)
		r = open_slot(kms, kek_by_uri(kms, uri), &record, &record.slots[0], &opened,
			      reterr);
	key_record_free(&record);
	return r;
}

/* The place for a slot of ROLE: the primary's own, or a new one. */
static int slot_place(struct key_record *record, enum slot_role role, struct slot **ret_slot)
{
	struct slot *slots;

	if (role == SLOT_PRIMARY) {
		*ret_slot = &record->slots[key_record_primary(record) - record->slots];
		return 0;
	}
	if (record->slot_count == KEY_SLOTS_MAX)
		return -ENOSPC;
	slots = realloc(record->slots, (record->slot_count + 1) * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	record->slots = slots;
	slots[record->slot_count] = (struct slot){ .role = role };
	*ret_slot = &slots[record->slot_count++];
	return 0;
}

int kms_rewrap(struct kms *kms, const struct dek *dek, const char *uri, enum slot_role role,
	       struct key_record *record, struct kms_error *reterr)
{
	struct kek *kek = kek_required(kms, uri, reterr);
	CLEANUP(dek_cleanup) struct dek *opened = NULL;
	struct slot *slot;
	int r;

	if (!kek)
		return -EINVAL;
	r = slot_place(record, role, &slot);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "no room for another slot: %s",
				strerror(-r));
	free(slot->header);
	*slot = (struct slot){ .volume = record->volume,
			       .snapshot = record->snapshot,
			       .dek = record->dek,
			       .role = role };
	r = make_slot(kms, kek, dek, slot, reterr);
	if (r < 0)
		return r;
	record->generation++;
	r = kms_authenticate_record(dek, record);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "making a key record: %s",
				strerror(-r));
	return role == SLOT_RECOVERY ? 0 : open_slot(kms, kek, record, slot, &opened, reterr);
}
