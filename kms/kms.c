/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KEKs that may be contacted, and making, opening and rewrapping DEKs.
 *
 * What cannot be wiped: libcurl and json-c buffers and PKCS#11 modules see a slot secret (never a DEK) once per wrap or unwrap,
 * modules a PIN at each login; OpenSSL keeps the key schedule while a key is in use.
 */
#include "kms/kms.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kms/config_copy.h"
#include "kms/credentials/child_environment.h"
#include "kms/crypto/random.h"
#include "kms/kms_internal.h"
#include "meta/timestamp.h"

#define KEY_TIMEOUT_DEFAULT_MS 10000
#define HEDGE_AFTER_DEFAULT_MS 2000

static void kek_free(struct kek *kek)
{
	if (!kek)
		return;
	if (kek->state)
		kek->provider->close(kek->state);
	kms_config_free(kek->config);
	free(kek);
}

/* A KEK that is not among those that may be contacted. */
static int kek_open(const struct kms_provider *provider, const struct kms_config *config,
		    struct kek **ret_kek, struct kms_error *reterr)
{
	struct kek *kek = calloc(1, sizeof(*kek));
	int r = kek ? kms_config_copy(config, &kek->config) : -ENOMEM;

	if (r < 0) {
		free(kek);
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "out of memory");
	}
	kek->provider = provider;
	kek->uri = kek->config->uri;
	kek->section = kek->config->section;
	r = provider->open(config, &kek->state, reterr);
	if (r < 0) {
		kek->state = NULL;
		kek_free(kek);
		return r;
	}
	*ret_kek = kek;
	return 0;
}

static int open_recovery_key(struct kms *kms, struct kms_error *reterr)
{
	const struct kms_setting setting = { "private_key_file", kms->options.recovery_key };
	const struct kms_config config = {
		.uri = "recovery:", .settings = &setting, .setting_count = 1
	};

	return kms->options.recovery_key
		       ? kek_open(kms_provider_by_name("recovery"), &config, &kms->recovery, reterr)
		       : 0;
}

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
	if (!kms->options.hedge_after_ms)
		kms->options.hedge_after_ms = HEDGE_AFTER_DEFAULT_MS;
	pthread_mutex_init(&kms->lock, NULL);
	pthread_mutex_init(&kms->listener_lock, NULL);
	pthread_cond_init(&kms->openings_ended, NULL);
	r = open_recovery_key(kms, reterr);
	if (r < 0) {
		kms_close(kms);
		return r;
	}
	*ret_kms = kms;
	return 0;
}

void kms_close(struct kms *kms)
{
	if (!kms)
		return;
	kms_cancel(kms);
	pthread_mutex_lock(&kms->lock);
	while (kms->opening_count)
		pthread_cond_wait(&kms->openings_ended, &kms->lock);
	pthread_mutex_unlock(&kms->lock);
	while (kms->keks) {
		struct kek *kek = kms->keks;

		kms->keks = kek->next;
		kek_free(kek);
	}
	kek_free(kms->recovery);
	pthread_cond_destroy(&kms->openings_ended);
	pthread_mutex_destroy(&kms->listener_lock);
	pthread_mutex_destroy(&kms->lock);
	free(kms);
}

bool kms_has_recovery_key(const struct kms *kms)
{
	return kms->recovery != NULL;
}

uint32_t kms_hedge_after_ms(const struct kms *kms)
{
	return kms->options.hedge_after_ms;
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

static bool is_same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static bool has_setting(const struct kms_config *config, const char *value)
{
	for (size_t i = 0; i < config->setting_count; i++)
		if (!strcmp(config->settings[i].value, value))
			return true;
	return false;
}

#define FITS_BEST 3

/*
 * How well the credentials of a KEK fit those that wrote a slot.  The principal says more than the name of a section, which
 * every host chooses for itself.
 */
static int fitness(const struct kek *kek, const struct slot *slot)
{
	const char *principal = text_pairs_get(&slot->access, "principal");
	int result = 0;

	if (!principal || has_setting(kek->config, principal))
		result += 2;
	if (is_same_text(kek->section, text_pairs_get(&slot->access, "section")))
		result++;
	return result;
}

struct kek *kek_of_slot(struct kms *kms, const struct slot *slot)
{
	struct kek *best = NULL;
	int best_fitness = -1;

	for (struct kek *kek = kek_first(kms); kek && best_fitness < FITS_BEST; kek = kek->next) {
		if (strcmp(kek->provider->name, slot->provider) != 0 ||
		    fitness(kek, slot) <= best_fitness || !kek->provider->owns(kek->state, slot))
			continue;
		best = kek;
		best_fitness = fitness(kek, slot);
	}
	return best;
}

static bool is_added(struct kms *kms, const struct kms_config *config)
{
	for (struct kek *kek = kek_first(kms); kek; kek = kek->next)
		if (!strcmp(kek->uri, config->uri) && is_same_text(kek->section, config->section))
			return true;
	return false;
}

/* At the end: of several with one URI the first counts. */
static void kek_append(struct kms *kms, struct kek *kek)
{
	struct kek **place = &kms->keks;

	pthread_mutex_lock(&kms->lock);
	while (*place)
		place = &(*place)->next;
	*place = kek;
	pthread_mutex_unlock(&kms->lock);
}

/* What a key's section takes from the environment is not for the commands that it or another runs. */
static void hide_variables(const struct kms_config *config)
{
	for (size_t i = 0; i < config->setting_count; i++) {
		const char *suffix = strrchr(config->settings[i].name, '_');

		if (suffix && !strcmp(suffix, "_env"))
			child_environment_hide(config->settings[i].value);
	}
}

int kms_add_key(struct kms *kms, const struct kms_config *config, struct kms_error *reterr)
{
	const struct kms_provider *provider = kms_provider_for_uri(config->uri);
	struct kek *kek = NULL;
	int r;

	if (is_added(kms, config))
		return 0;
	hide_variables(config);
	if (!provider) {
		r = kms_fail(reterr, -EINVAL, KEY_STATE_UNKNOWN,
			     "%s: no key service has this scheme", config->uri);
		kms_advise(reterr, "see 'URI schemes' in snapcrypt(1)");
		return r;
	}
	r = kek_open(provider, config, &kek, reterr);
	if (r < 0)
		return r;
	kek_append(kms, kek);
	return 0;
}

const char *kms_notice(struct kms *kms)
{
	const char *notice = NULL;

	for (struct kek *kek = kek_first(kms); kek && !notice; kek = kek->next)
		if (kek->provider->notice)
			notice = kek->provider->notice(kek->state);
	return notice;
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
	return kms_test_key_within(kms, uri, 0, ret_info, reterr);
}

int kms_test_key_within(struct kms *kms, const char *uri, uint32_t timeout_ms,
			struct kms_key_info *ret_info, struct kms_error *reterr)
{
	CLEANUP(dek_cleanup) struct dek *made = NULL;
	CLEANUP(dek_cleanup) struct dek *opened = NULL;
	struct dek_request request = { .uri = uri, .timeout_ms = timeout_ms };
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
		r = kms_open_slot(kms, kek_by_uri(kms, uri), &record, &record.slots[0], &opened,
				  reterr);
	key_record_free(&record);
	return r;
}
