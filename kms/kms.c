/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KEKs that may be contacted, and making, opening and rewrapping DEKs.
 *
 * What cannot be wiped: libcurl and json-c buffers see a slot secret (never a DEK) once per wrap or unwrap; OpenSSL keeps
 * the key schedule while a key is in use.
 */
#include "kms/kms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kms/crypto/random.h"
#include "kms/kms_internal.h"
#include "meta/timestamp.h"

#define KEY_TIMEOUT_DEFAULT_MS 10000

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

void kms_cancel(struct kms *kms)
{
	kms->is_cancelled = true;
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

struct kek *kek_of_slot(struct kms *kms, const struct slot *slot)
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

struct kek *kek_required(struct kms *kms, const char *uri, struct kms_error *reterr)
{
	struct kek *kek = kek_by_uri(kms, uri);

	if (!kek)
		(void)kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			       "%s was not allowed to be contacted", uri);
	return kek;
}

static int describe(struct kms *kms, struct kek *kek, struct kms_key_info *ret_info,
		    struct kms_error *reterr)
{
	struct kms_error error = { 0 };
	int r;

	if (!kek)
		return -EINVAL;
	r = kek_ask(kms, kek,
		    &(struct kek_request){ .operation = KMS_DESCRIBE, .ret_info = ret_info },
		    &error);
	if (r < 0 && reterr)
		*reterr = error;
	return r;
}

int kms_describe(struct kms *kms, const char *uri, struct kms_key_info *ret_info,
		 struct kms_error *reterr)
{
	return describe(kms, kek_required(kms, uri, reterr), ret_info, reterr);
}

int kms_describe_slot(struct kms *kms, const struct slot *slot, struct kms_key_info *ret_info,
		      struct kms_error *reterr)
{
	struct kek *kek = kek_of_slot(kms, slot);

	if (!kek)
		(void)kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			       "nothing on this host names key %s", slot->key_id);
	return describe(kms, kek, ret_info, reterr);
}

int kms_remembered_no(struct kms *kms, const struct slot *slot, struct kms_error *error)
{
	char since[TIMESTAMP_TEXT_SIZE] = "then";
	const struct kms_error asked = *error;
	enum key_state state = KEY_STATE_UNKNOWN;
	int64_t since_s = 0;

	if (kms->options.remembered)
		state = kms->options.remembered(kms->options.memory_arg, slot->key_id, &since_s);
	if (!key_state_is_definite_no(state))
		return 0;
	(void)!timestamp_format(since_s, since);
	return kms_fail(error, key_state_errno(state), state,
			"key %s is %s since %s, and cannot be asked whether that is over: %s",
			slot->key_id, key_state_name(state), since, asked.text);
}

int kms_audit(struct kms *kms, const struct audit_entry *entry)
{
	return audit_append(kms->options.audit, entry);
}

int kms_audit_request(struct kms *kms, enum audit_operation operation, const struct slot *slot,
		      struct kms_error *error)
{
	const int r = kms_audit(kms, &(struct audit_entry){ .operation = operation,
							    .outcome = error,
							    .slot = slot });

	if (r == 0 || error->code < 0)
		return error->code;
	(void)kms_fail(error, r, KEY_STATE_UNKNOWN,
		       "the audit log cannot be written, and audit_on_failure is block: %s",
		       strerror(-r));
	kms_advise(error, "make room for the audit log or repair it");
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
	*ret_info = (struct kms_key_info){ .state = KEY_STATE_ENABLED,
					   .notice = kms_access_notice(&record.slots[0]) };
	memcpy(ret_info->key_id, record.slots[0].key_id, sizeof(ret_info->key_id));
	record.generation = 1;
	r = kms_authenticate_record(made, &record);
	/* envelope_open() compares with the commitment of what was wrapped. */
	if (r == 0 && !kms->options.is_write_only)
		r = kms_open_slot(kms, kek_by_uri(kms, uri), &record, &record.slots[0], &opened,
				  reterr);
	key_record_free(&record);
	return r;
}
