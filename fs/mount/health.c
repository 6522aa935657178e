/* SPDX-License-Identifier: Apache-2.0 */
/* Are the keys in use still allowed? */
#include "fs/mount/health.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "fs/mount/health_keys.h"
#include "fs/mount/health_pace.h"
#include "fs/mount/health_probe.h"
#include "fs/mount/session.h"
#include "kms/kms.h"

#define ROTATION_POLL_MS (24LL * 3600 * 1000)

struct health {
	struct mount *mount;
	pthread_t thread;
	struct health_keys
		keys; /* its lock guards the rest, too; not held while a service is asked */
	pthread_cond_t wake;
	bool is_asked;
	atomic_bool is_ending;
};

/* All KEKs that are asked together. */
struct round {
	struct health *health;
	struct probe *probes;
	size_t count;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Sleep until the time is over or, unless RET_IS_ASKED is NULL, somebody wants to know at once.  false: the mount ends. */
static bool sleep_ms(struct health *health, int64_t ms, bool *ret_is_asked)
{
	const int64_t until_ms = now_ms() + ms;
	const struct timespec until = { .tv_sec = until_ms / 1000,
					.tv_nsec = until_ms % 1000 * 1000000 };
	int r = 0;

	pthread_mutex_lock(&health->keys.lock);
	while (!health->is_ending && !(ret_is_asked && health->is_asked) && r == 0)
		r = pthread_cond_timedwait(&health->wake, &health->keys.lock, &until);
	if (ret_is_asked) {
		*ret_is_asked = health->is_asked;
		health->is_asked = false;
	}
	bool goes_on = !health->is_ending;

	pthread_mutex_unlock(&health->keys.lock);
	return goes_on;
}

/* Until the next round, which is full at FULL_MS; the last one was at SINCE_MS. */
static int64_t pause_ms(struct health *health, int64_t full_ms, int64_t since_ms)
{
	int64_t until_ms = full_ms;

	pthread_mutex_lock(&health->keys.lock);
	for (const struct watched_kek *kek = health->keys.keks; kek; kek = kek->next) {
		const int64_t wanted_ms = pace_next_ms(health->mount->options, kek, since_ms);

		if (health_kek_is_in_use(kek) && wanted_ms < until_ms)
			until_ms = wanted_ms;
	}
	pthread_mutex_unlock(&health->keys.lock);
	return until_ms > now_ms() ? until_ms - now_ms() : 0;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static void ask(const struct round *round)
{
	probe_all(round->health->mount->options->kms, round->probes, round->count,
		  &round->health->is_ending);
}

/* A no that is new: one may be a slip of the service or of a proxy before it, so it is asked again. */
static bool needs_confirmation(const struct probe *probe)
{
	return key_state_is_definite_no(probe->state) &&
	       !key_state_is_definite_no(probe->kek->status.state);
}

/* Ask again about those whose no is new, and only then: what the others answered is not held up.  false: the mount ends. */
static bool confirm(struct round *again)
{
	struct health *health = again->health;

	if (again->count == 0)
		return true;
	if (!sleep_ms(health, pace_confirm_ms(health->mount->options), NULL))
		return false;
	ask(again);
	return !health->is_ending;
}

/* Move those from ROUND to AGAIN that need to be asked again; both have room for all. */
static void split(struct round *round, struct round *again)
{
	size_t kept = 0;

	for (size_t i = 0; i < round->count; i++) {
		if (needs_confirmation(&round->probes[i]))
			again->probes[again->count++].kek = round->probes[i].kek;
		else
			round->probes[kept++] = round->probes[i];
	}
	round->count = kept;
}

/* ---- What follows ---------------------------------------------------------------------------- */

static void tell(struct health *health, const char *event, const struct watched_kek *kek)
{
	const struct mount_options *options = health->mount->options;

	pthread_mutex_lock(&health->keys.lock);
	const struct mount_key_status status = kek->status;

	pthread_mutex_unlock(&health->keys.lock);
	const struct mount_event told = { .name = event, .key = &status };

	if (options->event)
		options->event(options->arg, &told);
}

static void report_state(const struct health *health, const struct watched_kek *kek)
{
	const struct mount_key_status *status = &kek->status;

	if (status->state == KEY_STATE_ENABLED)
		store_report(health->mount->store, LOG_NOTICE, "", "key %s is enabled again",
			     status->key_id);
	else
		store_report(health->mount->store, LOG_WARNING, "", "key %s is %s: %s%s%s",
			     status->key_id, key_state_name(status->state), status->message,
			     *status->advice ? "; " : "", status->advice);
}

/* A definite answer is remembered on this host: a no until there is a yes. */
static void remember(const struct health *health, const struct watched_kek *kek, bool is_change)
{
	struct trust *trust = health->mount->options->trust;
	const enum key_state state = kek->status.state;
	const char *key_id = kek->status.key_id;
	bool is_news = state == KEY_STATE_ENABLED
			       ? trust && trust_key_state(trust, key_id, NULL) != KEY_STATE_UNKNOWN
			       : is_change && key_state_is_definite_no(state);

	if (trust && is_news && trust_see_key_state(trust, key_id, state) < 0)
		store_report(health->mount->store, LOG_WARNING, "",
			     "cannot remember the state of key %s", key_id);
}

/* Is STATE an answer that changes what is known?  A confirmed no ends with a yes only, or with another no. */
static bool is_verdict(const struct watched_kek *kek, enum key_state state)
{
	if (state == KEY_STATE_UNKNOWN)
		return false;
	return state == KEY_STATE_ENABLED || key_state_is_definite_no(state) ||
	       !key_state_is_definite_no(kek->status.state);
}

static void set_state(struct health *health, const struct probe *probe)
{
	struct watched_kek *kek = probe->kek;
	struct mount_key_status *status = &kek->status;
	bool is_silent;

	pthread_mutex_lock(&health->keys.lock);
	bool is_change = is_verdict(kek, probe->state) &&
			 (probe->state != status->state || kek->is_untold);
	bool is_new_message = strcmp(status->message, probe->error.text) != 0;

	if (is_change) {
		status->state = probe->state;
		status->since_s = time(NULL);
		kek->is_untold = false;
	}
	if (probe->state == KEY_STATE_ENABLED)
		status->last_ok_s = time(NULL);
	status->has_strayed = status->has_strayed && probe->state != KEY_STATE_ENABLED;
	memcpy(status->message, probe->error.text, sizeof(status->message));
	memcpy(status->advice, probe->error.advice, sizeof(status->advice));
	is_silent = status->state == KEY_STATE_UNREACHABLE ||
		    status->state == KEY_STATE_CREDENTIALS_EXPIRED;
	if (!is_silent)
		kek->silent_since_ms = 0;
	else if (kek->silent_since_ms == 0)
		kek->silent_since_ms = now_ms();
	pthread_mutex_unlock(&health->keys.lock);
	remember(health, kek, is_change);
	/* What failed while it was not enabled need not wait any longer. */
	if (is_change && probe->state == KEY_STATE_ENABLED)
		dek_ring_forget_failures(store_deks(health->mount->store));
	if (is_change)
		report_state(health, kek);
	else if (probe->state == KEY_STATE_UNKNOWN && is_new_message)
		store_report(health->mount->store, LOG_WARNING, "", "key %s: no verdict: %s",
			     status->key_id, status->message);
	if (is_change &&
	    (probe->state == KEY_STATE_ENABLED || key_state_is_definite_no(probe->state)))
		probe_write_down(health->mount, kek, &probe->error);
	if (is_change)
		tell(health, probe_event_name(probe->state), kek);
}

/* As what the key is to be withdrawn; KEY_STATE_UNKNOWN: not at all. */
static void decide(struct health *health, struct watched_kek *kek)
{
	const int64_t end_ms = pace_grace_end_ms(health->mount->options, kek);
	const bool is_over = end_ms >= 0 && now_ms() >= end_ms;

	pthread_mutex_lock(&health->keys.lock);
	if (key_state_is_definite_no(kek->status.state) || (kek->silent_since_ms != 0 && is_over))
		kek->withdrawn_as = kek->status.state;
	else if (kek->silent_since_ms == 0)
		kek->withdrawn_as = KEY_STATE_UNKNOWN;
	kek->status.is_withdrawn = kek->withdrawn_as != KEY_STATE_UNKNOWN;
	pthread_mutex_unlock(&health->keys.lock);
	if (!is_over || key_state_is_definite_no(kek->status.state))
		return;
	store_report(health->mount->store, LOG_WARNING, "",
		     "key %s is %s for longer than unreachable_grace: it is withdrawn",
		     kek->status.key_id, key_state_name(kek->status.state));
	probe_write_down(health->mount, kek,
			 &(struct kms_error){ .code = key_state_errno(kek->status.state),
					      .state = kek->status.state,
					      .text = "unreachable_grace is over" });
	tell(health, "revoked", kek);
}

static void apply_to_dek(const struct health *health, const struct uuid *dek_id,
			 enum key_state state)
{
	struct mount *mount = health->mount;

	if (state == KEY_STATE_UNKNOWN)
		mount_restore_dek(mount, dek_id);
	else if (mount->options->on_revoke == MOUNT_BLOCK)
		mount_revoke_dek(mount, dek_id, state);
	else if (mount->options->on_revoke == MOUNT_READ_ONLY)
		mount_refuse_writes(mount, dek_id, state);
}

/* The next DEK of KEK that is not as it should be. */
static bool next_dek(struct health *health, struct watched_kek *kek, size_t *index,
		     struct uuid *ret_id)
{
	bool is_found = false;

	pthread_mutex_lock(&health->keys.lock);
	for (; !is_found && *index < kek->dek_count; ++*index) {
		struct watched_dek *dek = &kek->deks[*index];

		is_found = dek->withdrawn_as != kek->withdrawn_as;
		dek->withdrawn_as = kek->withdrawn_as;
		*ret_id = dek->id;
	}
	pthread_mutex_unlock(&health->keys.lock);
	return is_found;
}

static void apply(struct health *health, struct watched_kek *kek)
{
	struct dek_ring *ring = store_deks(health->mount->store);
	struct uuid id;
	size_t index = 0;

	/* First what would become new data under a key that is withdrawn. */
	if (kek->spares_withdrawn_as != kek->withdrawn_as) {
		if (kek->withdrawn_as == KEY_STATE_UNKNOWN)
			dek_ring_restore_made(ring, kek->status.key_id);
		else
			dek_ring_revoke_made(ring, kek->status.key_id, kek->withdrawn_as);
		kek->spares_withdrawn_as = kek->withdrawn_as;
	}
	while (next_dek(health, kek, &index, &id))
		apply_to_dek(health, &id, kek->withdrawn_as);
}

/* ---- Age ------------------------------------------------------------------------------------- */

/* Once a day; a service that does not say, or does not let us ask, leaves it open. */
static void check_rotation(struct health *health, struct watched_kek *kek)
{
	const struct mount_options *options = health->mount->options;
	struct kms_key_info info = { 0 };

	if (options->rotation_age_s < 0 || kek->status.state != KEY_STATE_ENABLED ||
	    (kek->rotation_asked_ms != 0 && now_ms() - kek->rotation_asked_ms < ROTATION_POLL_MS))
		return;
	kek->rotation_asked_ms = now_ms();
	if (kms_describe_slot(options->kms, key_record_primary(&kek->record), &info, NULL) < 0)
		return;
	pthread_mutex_lock(&health->keys.lock);
	kek->status.is_old_version = probe_shows_old_version(kek, &info);
	pthread_mutex_unlock(&health->keys.lock);
	if (info.created_s == 0)
		return;
	/* One that the service rotates by itself is due when it has not done so. */
	const bool is_due = info.next_rotation_s != 0
				    ? time(NULL) > info.next_rotation_s
				    : time(NULL) - info.created_s > options->rotation_age_s;
	const bool is_news = is_due && !kek->status.is_rotation_due;

	pthread_mutex_lock(&health->keys.lock);
	kek->status.is_rotation_due = is_due;
	pthread_mutex_unlock(&health->keys.lock);
	if (!is_news)
		return;
	store_report(health->mount->store, LOG_NOTICE, "",
		     "key %s is older than rotation_age: rotate it, then 'snapcrypt keys rewrap'",
		     kek->status.key_id);
	tell(health, "rotation-due", kek);
}

/* ---- The thread ------------------------------------------------------------------------------ */

/* A round that is not full asks only those that do not answer. */
static bool is_wanted(const struct watched_kek *kek, bool is_full)
{
	return health_kek_is_in_use(kek) && (is_full || kek->silent_since_ms != 0);
}

static int begin_round(struct health *health, bool is_full, struct round *ret_round)
{
	struct round round = { .health = health };
	size_t count = 0;

	health_keys_reread(&health->keys, health->mount->store);
	health_keys_learn(&health->keys, health->mount->store);
	pthread_mutex_lock(&health->keys.lock);
	for (const struct watched_kek *kek = health->keys.keks; kek; kek = kek->next)
		count += is_wanted(kek, is_full);
	round.probes = calloc(count + 1, sizeof(*round.probes));
	for (struct watched_kek *kek = health->keys.keks; round.probes && kek; kek = kek->next) {
		if (is_wanted(kek, is_full))
			round.probes[round.count++].kek = kek;
	}
	pthread_mutex_unlock(&health->keys.lock);
	if (!round.probes)
		return -ENOMEM;
	*ret_round = round;
	return 0;
}

static void settle(struct health *health, const struct round *round)
{
	for (size_t i = 0; i < round->count; i++) {
		set_state(health, &round->probes[i]);
		decide(health, round->probes[i].kek);
		apply(health, round->probes[i].kek);
	}
	for (size_t i = 0; i < round->count; i++)
		check_rotation(health, round->probes[i].kek);
}

static void check(struct health *health, bool is_full)
{
	struct round again = { .health = health };
	struct round round;

	if (health->keys.is_recovered || begin_round(health, is_full, &round) < 0)
		return;
	ask(&round);
	again.probes = calloc(round.count + 1, sizeof(*again.probes));
	/* Without memory nothing is confirmed: the next round tries. */
	if (again.probes && !health->is_ending) {
		split(&round, &again);
		settle(health, &round);
		if (confirm(&again))
			settle(health, &again);
	}
	free(again.probes);
	free(round.probes);
}

static void *health_main(void *arg)
{
	struct health *health = arg;
	const int64_t poll_ms = pace_poll_ms(health->mount->options);
	int64_t since_ms = now_ms();
	int64_t full_ms = since_ms + poll_ms;
	bool is_asked = false;

	while (sleep_ms(health, pause_ms(health, full_ms, since_ms), &is_asked)) {
		const bool is_full = is_asked || now_ms() >= full_ms;

		since_ms = now_ms();
		if (is_full)
			full_ms = since_ms + poll_ms;
		check(health, is_full);
	}
	return NULL;
}

/* Whatever it was, asking brings it to light. */
static void wake(void *arg, const struct uuid *dek_id, enum store_key_event event)
{
	(void)dek_id;
	(void)event;
	health_probe(arg);
}

int health_create(struct mount *mount, struct health **ret_health)
{
	struct health *health = calloc(1, sizeof(*health));
	pthread_condattr_t monotonic;

	if (!health)
		return -ENOMEM;
	health->mount = mount;
	health->keys.is_recovered = kms_has_recovery_key(mount->options->kms);
	pthread_mutex_init(&health->keys.lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&health->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (pthread_create(&health->thread, NULL, health_main, health) != 0) {
		free(health);
		return -EAGAIN;
	}
	store_watch_keys(mount->store, wake, health);
	*ret_health = health;
	return 0;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	store_watch_keys(health->mount->store, NULL, NULL);
	pthread_mutex_lock(&health->keys.lock);
	health->is_ending = true;
	pthread_cond_signal(&health->wake);
	pthread_mutex_unlock(&health->keys.lock);
	pthread_join(health->thread, NULL);
	health_keys_free(&health->keys);
	pthread_cond_destroy(&health->wake);
	pthread_mutex_destroy(&health->keys.lock);
	free(health);
}

void health_probe(struct health *health)
{
	pthread_mutex_lock(&health->keys.lock);
	health->is_asked = true;
	pthread_cond_signal(&health->wake);
	pthread_mutex_unlock(&health->keys.lock);
}

int health_status(struct health *health, struct mount_key_status **ret_keys, size_t *ret_count)
{
	size_t count = 0;
	size_t i = 0;

	health_keys_learn(&health->keys, health->mount->store);
	pthread_mutex_lock(&health->keys.lock);
	for (const struct watched_kek *kek = health->keys.keks; kek; kek = kek->next)
		count += health_kek_is_in_use(kek);
	struct mount_key_status *keys = calloc(count ? count : 1, sizeof(*keys));

	for (const struct watched_kek *kek = health->keys.keks; keys && kek; kek = kek->next) {
		if (health_kek_is_in_use(kek))
			keys[i++] = kek->status;
	}
	pthread_mutex_unlock(&health->keys.lock);
	if (!keys)
		return -ENOMEM;
	*ret_keys = keys;
	*ret_count = count;
	return 0;
}
