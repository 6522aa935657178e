/* SPDX-License-Identifier: Apache-2.0 */
/* Making DEKs, and new slots for those that are open. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/random.h"
#include "kms/envelope.h"
#include "kms/kms_internal.h"

/* Have the service wrap a secret into SLOT, whose ids and role are set.  ERROR is not NULL. */
static int ask_to_wrap(struct kms *kms, struct kek *kek, uint32_t timeout_ms, struct slot *slot,
		       struct secret **ret_secret, struct kms_error *error)
{
	const struct wrap_context context = { .volume = slot->volume, .snapshot = slot->snapshot };
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	struct kek_request request = {
		.operation = kek->provider->generate ? KMS_GENERATE : KMS_WRAP,
		.context = &context,
		.new_slot = slot,
		.ret_secret = &secret,
		.timeout_ms = timeout_ms,
	};
	int r;

	if (!kek->provider->generate) {
		r = secret_new(SLOT_SECRET_SIZE, &secret);
		if (r == 0)
			r = random_fill(secret_data(secret), SLOT_SECRET_SIZE);
		if (r < 0)
			return kms_fail(error, r, KEY_STATE_UNKNOWN, "drawing a secret: %s",
					strerror(-r));
	}
	request.secret = secret;
	r = kek_ask(kms, kek, &request, error);
	if (r == 0)
		*ret_secret = TAKE(secret);
	return r;
}

static int wrap_secret(struct kms *kms, struct kek *kek, uint32_t timeout_ms, struct slot *slot,
		       struct secret **ret_secret, struct kms_error *reterr)
{
	struct kms_error error = { 0 };
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	int r;

	(void)!ask_to_wrap(kms, kek, timeout_ms, slot, &secret, &error);
	r = kms_audit_request(kms, AUDIT_WRAP, slot, &error);
	if (r == 0)
		*ret_secret = TAKE(secret);
	else if (reterr)
		*reterr = error;
	return r;
}

int kms_try_wrapping(struct kms *kms, struct kek *kek, const struct slot *slot,
		     struct kms_error *error)
{
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	struct slot wrapped = { .volume = slot->volume,
				.snapshot = slot->snapshot,
				.dek = slot->dek,
				.role = slot->role };

	return ask_to_wrap(kms, kek, 0, &wrapped, &secret, error);
}

int kms_make_slot(struct kms *kms, struct kek *kek, uint32_t timeout_ms, const struct dek *dek,
		  struct slot *slot, struct kms_error *reterr)
{
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	int r;

	r = random_uuid(&slot->slot);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "drawing an id: %s", strerror(-r));
	r = wrap_secret(kms, kek, timeout_ms, slot, &secret, reterr);
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

/* A record that is being filled. */
struct filling {
	struct kms *kms;
	const struct dek_request *request;
	const struct dek *dek;
	struct key_record *record;
};

/* Add a slot to a record that has none for it yet. */
static int add_slot(const struct filling *filling, struct kek *kek, enum slot_role role,
		    struct kms_error *reterr)
{
	struct key_record *record = filling->record;
	struct slot *slot = &record->slots[record->slot_count];

	*slot = (struct slot){ .volume = record->volume,
			       .snapshot = record->snapshot,
			       .dek = record->dek,
			       .role = role };
	record->slot_count++;
	return kms_make_slot(filling->kms, kek, filling->request->timeout_ms, filling->dek, slot,
			     reterr);
}

static int add_alternates(const struct filling *filling, struct kms_error *reterr)
{
	const struct dek_request *request = filling->request;

	for (size_t i = 0; i < request->alternate_count; i++) {
		struct kek *kek = kek_required(filling->kms, request->alternates[i], reterr);
		int r = kek ? add_slot(filling, kek, SLOT_ALTERNATE, reterr) : -EINVAL;

		if (r < 0)
			return r;
	}
	return 0;
}

static int add_recovery_slots(const struct filling *filling, struct kms_error *reterr)
{
	const struct dek_request *request = filling->request;
	int r = 0;

	for (size_t i = 0; r == 0 && i < request->recovery_key_count; i++) {
		struct kek recovery = { 0 };

		r = kms_open_recovery(&request->recovery_keys[i], &recovery.provider,
				      &recovery.state, reterr);
		if (r < 0)
			return r;
		r = add_slot(filling, &recovery, SLOT_RECOVERY, reterr);
		recovery.provider->close(recovery.state);
	}
	return r;
}

static int fill_record(const struct filling *filling, struct kek *kek, struct kms_error *reterr)
{
	const struct dek_request *request = filling->request;
	struct key_record *record = filling->record;
	size_t count = 1 + request->alternate_count + request->recovery_key_count;
	int r;

	if (count > KEY_SLOTS_MAX)
		return kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
				"at most %d alternate and recovery keys", KEY_SLOTS_MAX - 1);
	record->dek = *dek_id(filling->dek);
	record->slots = calloc(count, sizeof(*record->slots));
	if (!record->slots)
		return kms_fail(reterr, -ENOMEM, KEY_STATE_UNKNOWN, "out of memory");
	r = add_slot(filling, kek, SLOT_PRIMARY, reterr);
	if (r == 0)
		r = add_alternates(filling, reterr);
	if (r == 0)
		r = add_recovery_slots(filling, reterr);
	if (r < 0)
		return r;
	r = dek_commitment(filling->dek, record->commitment);
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
	r = fill_record(&(struct filling){ kms, request, dek, &record }, kek, reterr);
	if (r < 0) {
		key_record_free(&record);
		return r;
	}
	*ret_record = record;
	*ret_dek = TAKE(dek);
	return 0;
}
