/* SPDX-License-Identifier: Apache-2.0 */
/* Are the keys in use still allowed? */
#include "fs/mount/health.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "fs/mount/session.h"
#include "kms/kms.h"

#define CONFIRM_MAX_MS 5000

/* RECORD is one of those under this KEK: its primary slot is what is asked about. */
struct kek {
	struct kek *next;
	struct key_record record;
	struct mount_key_status status;
	struct uuid *deks;
	size_t dek_count;
	bool is_withdrawn;
};

struct health {
	struct mount *mount;
	pthread_t thread;
	pthread_mutex_t lock; /* guards the list and each status; not held while a service is asked */
	pthread_cond_t wake;
	struct kek *keks;
	bool is_asked;
	bool is_ending;
};

/* Sleep until the time is over or somebody wants something.  false: the mount ends. */
static bool sleep_ms(struct health *health, uint32_t ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&health->lock);
	int r = 0;

	while (!health->is_ending && !health->is_asked && r == 0)
		r = pthread_cond_timedwait(&health->wake, &health->lock, &until);
	health->is_asked = false;
	bool goes_on = !health->is_ending;

	pthread_mutex_unlock(&health->lock);
	return goes_on;
}

static bool has_dek(const struct kek *kek, const struct uuid *dek_id)
{
	for (size_t i = 0; i < kek->dek_count; i++) {
		if (uuid_equal(&kek->deks[i], dek_id))
			return true;
	}
	return false;
}

static bool is_known(const struct health *health, const struct uuid *dek_id)
{
	for (const struct kek *kek = health->keks; kek; kek = kek->next) {
		if (has_dek(kek, dek_id))
			return true;
	}
	return false;
}

static struct kek *find_kek(struct health *health, const char *key_id)
{
	struct kek *kek = health->keks;

	while (kek && strcmp(kek->status.key_id, key_id) != 0)
		kek = kek->next;
	return kek;
}

static struct kek *new_kek(struct health *health, const struct slot *primary)
{
	struct kek *kek = calloc(1, sizeof(*kek));

	if (!kek)
		return NULL;
	memcpy(kek->status.key_id, primary->key_id, sizeof(kek->status.key_id));
	memcpy(kek->status.provider, primary->provider, sizeof(kek->status.provider));
	/* A DEK is open under it, so it was enabled a moment ago. */
	kek->status.state = KEY_STATE_ENABLED;
	kek->status.since_s = time(NULL);
	kek->status.last_ok_s = kek->status.since_s;
	kek->next = health->keks;
	health->keks = kek;
	return kek;
}

/* The lock is held.  RECORD becomes the KEK's, or is freed. */
static void learn_record(struct health *health, struct key_record *record)
{
	const struct slot *primary = key_record_primary(record);
	struct kek *kek = find_kek(health, primary->key_id);

	if (is_known(health, &record->dek)) {
		key_record_free(record);
		return;
	}
	if (!kek)
		kek = new_kek(health, primary);
	struct uuid *deks = kek ? reallocarray(kek->deks, kek->dek_count + 1, sizeof(*deks)) : NULL;

	if (!deks) {
		key_record_free(record);
		return;
	}
	kek->deks = deks;
	kek->deks[kek->dek_count++] = record->dek;
	kek->status.data_keys = kek->dek_count;
	if (kek->record.slots)
		key_record_free(record);
	else
		kek->record = *record;
}

static void learn_deks(struct health *health)
{
	struct mount *mount = health->mount;
	struct uuid *ids = NULL;
	size_t count = 0;

	if (dek_ring_list(store_deks(mount->store), &ids, &count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		struct key_record record;

		pthread_mutex_lock(&health->lock);
		bool is_new = !is_known(health, &ids[i]);

		pthread_mutex_unlock(&health->lock);
		if (!is_new || store_key_record(mount->store, &ids[i], &record, NULL) < 0)
			continue;
		pthread_mutex_lock(&health->lock);
		learn_record(health, &record);
		pthread_mutex_unlock(&health->lock);
	}
	free(ids);
}

static enum key_state probe(const struct health *health, const struct kek *kek,
			    struct kms_error *reterr)
{
	memset(reterr, 0, sizeof(*reterr));
	return kms_probe(health->mount->options->kms, &kek->record, reterr) == 0 ? KEY_STATE_ENABLED
										 : reterr->state;
}

static void set_state(struct health *health, struct kek *kek, enum key_state state,
		      const struct kms_error *error)
{
	struct mount *mount = health->mount;

	pthread_mutex_lock(&health->lock);
	bool is_change = state != kek->status.state;

	kek->status.state = state;
	if (is_change)
		kek->status.since_s = time(NULL);
	if (state == KEY_STATE_ENABLED)
		kek->status.last_ok_s = time(NULL);
	memcpy(kek->status.message, error->text, sizeof(kek->status.message));
	pthread_mutex_unlock(&health->lock);
	if (!is_change)
		return;
	if (state == KEY_STATE_ENABLED)
		store_report(mount->store, LOG_NOTICE, "", "key %s is enabled again",
			     kek->status.key_id);
	else
		store_report(mount->store, LOG_WARNING, "", "key %s is %s: %s%s%s",
			     kek->status.key_id, key_state_name(state), error->text,
			     *error->advice ? "; " : "", error->advice);
	if (mount->options->trust &&
	    (state == KEY_STATE_ENABLED || key_state_is_definite_no(state)) &&
	    trust_see_key_state(mount->options->trust, kek->status.key_id, state) < 0)
		store_report(mount->store, LOG_WARNING, "", "cannot remember the state of key %s",
			     kek->status.key_id);
}

/* What of a KEK's DEKs to do something with: a copy, because more may be learned meanwhile. */
static struct uuid *copy_deks(struct health *health, const struct kek *kek, size_t *ret_count)
{
	pthread_mutex_lock(&health->lock);
	struct uuid *deks = calloc(kek->dek_count, sizeof(*deks));

	if (deks)
		memcpy(deks, kek->deks, kek->dek_count * sizeof(*deks));
	*ret_count = deks ? kek->dek_count : 0;
	pthread_mutex_unlock(&health->lock);
	return deks;
}

static void withdraw(struct health *health, struct kek *kek, enum key_state state)
{
	size_t count = 0;
	struct uuid *deks = copy_deks(health, kek, &count);

	for (size_t i = 0; i < count; i++)
		mount_revoke_dek(health->mount, &deks[i], state);
	kek->is_withdrawn = deks != NULL;
	free(deks);
}

static void give_back(struct health *health, struct kek *kek)
{
	size_t count = 0;
	struct uuid *deks = kek->is_withdrawn ? copy_deks(health, kek, &count) : NULL;

	for (size_t i = 0; i < count; i++)
		mount_restore_dek(health->mount, &deks[i]);
	kek->is_withdrawn = kek->is_withdrawn && !deks;
	free(deks);
}

/* One no may be a slip of the service or of a proxy before it: what is withdrawn was said twice. */
static void check_kek(struct health *health, struct kek *kek)
{
	uint32_t poll_ms = health->mount->options->key_poll_ms;
	struct kms_error error;
	enum key_state state = probe(health, kek, &error);

	if (key_state_is_definite_no(state) && !kek->is_withdrawn) {
		if (!sleep_ms(health, poll_ms < CONFIRM_MAX_MS ? poll_ms : CONFIRM_MAX_MS))
			return;
		state = probe(health, kek, &error);
	}
	set_state(health, kek, state, &error);
	if (key_state_is_definite_no(state) && !kek->is_withdrawn)
		withdraw(health, kek, state);
	else if (state == KEY_STATE_ENABLED)
		give_back(health, kek);
}

static void *health_main(void *arg)
{
	struct health *health = arg;

	while (sleep_ms(health, health->mount->options->key_poll_ms)) {
		learn_deks(health);
		/* The list grows at its head, and never shrinks. */
		for (struct kek *kek = health->keks; kek; kek = kek->next)
			check_kek(health, kek);
	}
	return NULL;
}

int health_create(struct mount *mount, struct health **ret_health)
{
	struct health *health = calloc(1, sizeof(*health));
	pthread_condattr_t monotonic;

	if (!health)
		return -ENOMEM;
	health->mount = mount;
	pthread_mutex_init(&health->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&health->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (pthread_create(&health->thread, NULL, health_main, health) != 0) {
		free(health);
		return -EAGAIN;
	}
	*ret_health = health;
	return 0;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	pthread_mutex_lock(&health->lock);
	health->is_ending = true;
	pthread_cond_signal(&health->wake);
	pthread_mutex_unlock(&health->lock);
	pthread_join(health->thread, NULL);
	for (struct kek *kek = health->keks, *next; kek; kek = next) {
		next = kek->next;
		key_record_free(&kek->record);
		free(kek->deks);
		free(kek);
	}
	pthread_cond_destroy(&health->wake);
	pthread_mutex_destroy(&health->lock);
	free(health);
}

void health_probe(struct health *health)
{
	pthread_mutex_lock(&health->lock);
	health->is_asked = true;
	pthread_cond_signal(&health->wake);
	pthread_mutex_unlock(&health->lock);
}

int health_status(struct health *health, struct mount_key_status **ret_keys, size_t *ret_count)
{
	size_t count = 0;

	learn_deks(health);
	pthread_mutex_lock(&health->lock);
	for (const struct kek *kek = health->keks; kek; kek = kek->next)
		count++;
	struct mount_key_status *keys = calloc(count ? count : 1, sizeof(*keys));
	size_t i = 0;

	for (const struct kek *kek = health->keks; keys && kek; kek = kek->next)
		keys[i++] = kek->status;
	pthread_mutex_unlock(&health->lock);
	if (!keys)
		return -ENOMEM;
	*ret_keys = keys;
	*ret_count = count;
	return 0;
}
