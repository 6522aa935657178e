/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a DEK whose record has alternates: the primary decides, and a dead first service does not cost its whole timeout.
 *
 * The primary is asked by a thread of its own.  Alternates are asked when it turned out to be unreachable, or when it has not
 * answered within hedge_after; what they opened counts only if the primary has still not answered by then.  The primary goes
 * on being asked after that: a definite no that comes late is told to whoever listens, which withdraws the DEK.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "kms/kms_internal.h"
#include "kms/retry.h"

#define SILENT_MS       30000 /* a service that did not answer is expected to be silent so long */
#define SLICE_MS        20
#define SILENT_HEDGE_MS 250 /* what it gets in that time before the others are asked */

/* Shared by the caller and the thread that asks the primary; the last of them frees it. */
struct opening {
	struct kms *kms;
	struct kek *kek;
	struct key_record record; /* a copy: the caller may be gone before the primary answers */
	pthread_mutex_t lock;
	pthread_cond_t answered;
	unsigned references;
	bool has_answered;
	bool is_over;           /* the caller has left, with what an alternate opened */
	atomic_bool is_decided; /* nobody needs an alternate any more */
	atomic_bool is_absent;  /* nobody is there to answer; it is asked on */
	int code;
	struct dek *dek;
	struct kms_error error;
	struct opening *next, *prev; /* of those whose caller waits; kms->lock */
};

bool kms_may_use_alternate(int code, const struct kms_error *error)
{
	return error->state == KEY_STATE_UNREACHABLE ||
	       error->state == KEY_STATE_CREDENTIALS_EXPIRED || code == -EHOSTUNREACH ||
	       code == -ETIMEDOUT || code == -EKEYEXPIRED;
}

static void opening_put(struct opening *opening)
{
	bool is_last;

	pthread_mutex_lock(&opening->lock);
	is_last = --opening->references == 0;
	pthread_mutex_unlock(&opening->lock);
	if (!is_last)
		return;
	dek_put(opening->dek);
	key_record_free(&opening->record);
	pthread_cond_destroy(&opening->answered);
	pthread_mutex_destroy(&opening->lock);
	free(opening);
}

/* ---- The primary's thread ---------------------------------------------------------------------------------------- */

static void note_silence(struct kek *kek, bool is_silent)
{
	atomic_store(&kek->silent_at_ms, is_silent ? retry_now_ms() : 0);
}

/* Too late to be used.  A yes changes nothing; a no must still count. */
static void take_late_answer(struct opening *opening)
{
	struct kms *kms = opening->kms;

	if (opening->code == 0 || kms_may_use_alternate(opening->code, &opening->error) ||
	    atomic_load(&kms->is_cancelled))
		return;
	pthread_mutex_lock(&kms->listener_lock);
	if (kms->listener)
		kms->listener(kms->listener_arg, &opening->record.dek, &opening->error);
	pthread_mutex_unlock(&kms->listener_lock);
}

static void *ask_primary(void *arg)
{
	struct opening *opening = arg;
	struct kms *kms = opening->kms;
	struct dek *dek = NULL;
	struct kms_error error = { 0 };
	bool is_late;
	int r = kms_ask_slot(kms, opening->kek, &opening->record,
			     key_record_primary(&opening->record),
			     &(struct asking){ .ret_is_absent = &opening->is_absent }, &dek,
			     &error);

	note_silence(opening->kek, r < 0 && kms_may_use_alternate(r, &error));
	pthread_mutex_lock(&opening->lock);
	opening->code = r;
	opening->dek = dek;
	opening->error = error;
	opening->has_answered = true;
	if (r == 0 || !kms_may_use_alternate(r, &error))
		atomic_store(&opening->is_decided, true);
	is_late = opening->is_over;
	pthread_cond_signal(&opening->answered);
	pthread_mutex_unlock(&opening->lock);
	if (is_late)
		take_late_answer(opening);
	opening_put(opening);
	pthread_mutex_lock(&kms->lock);
	if (--kms->opening_count == 0)
		pthread_cond_broadcast(&kms->openings_ended);
	pthread_mutex_unlock(&kms->lock);
	return NULL;
}

static int start_thread(struct opening *opening)
{
	struct kms *kms = opening->kms;
	pthread_attr_t attributes;
	pthread_t thread;
	int r;

	pthread_mutex_lock(&kms->lock);
	kms->opening_count++;
	pthread_mutex_unlock(&kms->lock);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attributes, ask_primary, opening);
	pthread_attr_destroy(&attributes);
	if (!r)
		return 0;
	pthread_mutex_lock(&kms->lock);
	kms->opening_count--;
	pthread_mutex_unlock(&kms->lock);
	return -r;
}

static int opening_start(struct kms *kms, struct kek *kek, const struct key_record *record,
			 struct opening **ret_opening)
{
	struct opening *opening = calloc(1, sizeof(*opening));
	pthread_condattr_t monotonic;
	int r = opening ? key_record_copy(record, &opening->record) : -ENOMEM;

	if (r < 0) {
		free(opening);
		return r;
	}
	opening->kms = kms;
	opening->kek = kek;
	opening->references = 2;
	pthread_mutex_init(&opening->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&opening->answered, &monotonic);
	pthread_condattr_destroy(&monotonic);
	r = start_thread(opening);
	if (r < 0) {
		opening->references = 1;
		opening_put(opening);
		return r;
	}
	*ret_opening = opening;
	return 0;
}

/* ---- The caller -------------------------------------------------------------------------------------------------- */

static void wait_for_answer(struct opening *opening, int64_t until_ms)
{
	const struct timespec until = { .tv_sec = until_ms / 1000,
					.tv_nsec = until_ms % 1000 * 1000000 };

	(void)pthread_cond_timedwait(&opening->answered, &opening->lock, &until);
}

/* Wait for the primary's answer until it is time to ask others, because it is silent or nobody is there. */
static bool wait_for_primary(struct opening *opening, int64_t until_ms)
{
	bool has_answered;
	int64_t now_ms;

	pthread_mutex_lock(&opening->lock);
	while (!opening->has_answered && !atomic_load(&opening->is_absent) &&
	       (now_ms = retry_now_ms()) < until_ms)
		wait_for_answer(opening,
				now_ms + SLICE_MS < until_ms ? now_ms + SLICE_MS : until_ms);
	has_answered = opening->has_answered;
	pthread_mutex_unlock(&opening->lock);
	return has_answered;
}

/* Nobody else opens it: whatever the primary says in the end. */
static void wait_to_the_end(struct opening *opening)
{
	pthread_mutex_lock(&opening->lock);
	while (!opening->has_answered)
		pthread_cond_wait(&opening->answered, &opening->lock);
	pthread_mutex_unlock(&opening->lock);
}

static int64_t hedge_ms(const struct kms *kms, const struct kek *kek)
{
	const int64_t silent_at_ms = atomic_load(&kek->silent_at_ms);
	const int64_t normal_ms = kms->options.hedge_after_ms;

	return silent_at_ms && retry_now_ms() - silent_at_ms < SILENT_MS &&
			       normal_ms > SILENT_HEDGE_MS
		       ? SILENT_HEDGE_MS
		       : normal_ms;
}

/* Where a KEK stands in slot_order; those that are not named come after, as stored. */
static size_t rank_of(const struct kms *kms, const struct kek *kek)
{
	for (size_t i = 0; i < kms->options.slot_order_count; i++) {
		const char *word = kms->options.slot_order[i];

		if (!strcmp(word, kek->uri) || (kek->section && !strcmp(word, kek->section)))
			return i;
	}
	return kms->options.slot_order_count;
}

/* The alternates that may be asked, in the order to ask them. */
static size_t list_alternates(struct kms *kms, const struct key_record *record,
			      size_t order[static KEY_SLOTS_MAX])
{
	size_t ranks[KEY_SLOTS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < record->slot_count && i < KEY_SLOTS_MAX; i++) {
		const struct slot *slot = &record->slots[i];
		const struct kek *kek = slot->role == SLOT_ALTERNATE ? kek_of_slot(kms, slot)
								     : NULL;
		size_t place = count;
		size_t rank;

		if (!kek)
			continue;
		rank = rank_of(kms, kek);
		for (; place > 0 && ranks[place - 1] > rank; place--) {
			ranks[place] = ranks[place - 1];
			order[place] = order[place - 1];
		}
		ranks[place] = rank;
		order[place] = i;
		count++;
	}
	return count;
}

bool kms_has_alternates(struct kms *kms, const struct key_record *record)
{
	size_t order[KEY_SLOTS_MAX];

	return list_alternates(kms, record, order) > 0;
}

static int open_alternate(struct opening *opening, struct dek **ret_dek, size_t *ret_index)
{
	struct kms *kms = opening->kms;
	const struct key_record *record = &opening->record;
	size_t order[KEY_SLOTS_MAX];
	const size_t count = list_alternates(kms, record, order);
	const struct asking asking = { .is_cancelled = &opening->is_decided };

	for (size_t i = 0; i < count && !atomic_load(&opening->is_decided); i++) {
		const struct slot *slot = &record->slots[order[i]];
		struct kek *kek = kek_of_slot(kms, slot);

		if (!kek || kms_ask_slot(kms, kek, record, slot, &asking, ret_dek, NULL) < 0)
			continue;
		*ret_index = order[i];
		return 0;
	}
	return -EHOSTUNREACH;
}

/* Why the primary has not opened it. */
static struct kms_error primary_failure(struct opening *opening)
{
	struct kms_error failure = { 0 };

	pthread_mutex_lock(&opening->lock);
	if (opening->has_answered)
		failure = opening->error;
	else if (atomic_load(&opening->is_absent))
		(void)kms_fail(&failure, -EHOSTUNREACH, KEY_STATE_UNREACHABLE,
			       "key %s: its service cannot be reached",
			       key_record_primary(&opening->record)->key_id);
	else
		(void)kms_fail(&failure, -ETIMEDOUT, KEY_STATE_UNREACHABLE,
			       "key %s: no answer within %u ms",
			       key_record_primary(&opening->record)->key_id,
			       opening->kms->options.hedge_after_ms);
	pthread_mutex_unlock(&opening->lock);
	return failure;
}

/* Leave the thread to itself, if the primary has not decided meanwhile.  false: it has. */
static bool leave_primary(struct opening *opening)
{
	bool may_leave;

	pthread_mutex_lock(&opening->lock);
	may_leave = !opening->has_answered || kms_may_use_alternate(opening->code, &opening->error);
	opening->is_over = may_leave && !opening->has_answered;
	pthread_mutex_unlock(&opening->lock);
	return may_leave;
}

static int take_answer(struct opening *opening, struct dek **ret_dek, size_t *ret_slot_index,
		       struct kms_error *reterr)
{
	int r;

	pthread_mutex_lock(&opening->lock);
	r = opening->code;
	if (r == 0) {
		*ret_dek = TAKE(opening->dek);
		*ret_slot_index =
			(size_t)(key_record_primary(&opening->record) - opening->record.slots);
	} else {
		*reterr = opening->error;
	}
	pthread_mutex_unlock(&opening->lock);
	return r;
}

static int open_with(struct opening *opening, struct dek **ret_dek, size_t *ret_slot_index,
		     struct kms_error *reterr)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	const int64_t until_ms = retry_now_ms() + hedge_ms(opening->kms, opening->kek);
	bool has_answered = wait_for_primary(opening, until_ms);
	struct kms_error failure;
	size_t index = 0;
	int no;
	int r;

	if (has_answered && atomic_load(&opening->is_decided))
		return take_answer(opening, ret_dek, ret_slot_index, reterr);
	if (!has_answered)
		note_silence(opening->kek, true);
	/* What it said last counts until it says something else. */
	failure = primary_failure(opening);
	no = kms_remembered_no(opening->kms, key_record_primary(&opening->record), &failure);
	r = no < 0 ? no : open_alternate(opening, &dek, &index);
	if (r < 0)
		wait_to_the_end(opening);
	if (no == 0)
		failure = primary_failure(opening);
	if (!leave_primary(opening) || (r < 0 && no == 0))
		return take_answer(opening, ret_dek, ret_slot_index, reterr);
	*reterr = failure;
	if (r < 0)
		return r;
	*ret_dek = TAKE(dek);
	*ret_slot_index = index;
	return 0;
}

/* Those who wait, so that kms_cancel() reaches the alternates that are asked for them. */
static void list_opening(struct kms *kms, struct opening *opening)
{
	pthread_mutex_lock(&kms->lock);
	DL_APPEND(kms->openings, opening);
	if (atomic_load(&kms->is_cancelled))
		atomic_store(&opening->is_decided, true);
	pthread_mutex_unlock(&kms->lock);
}

static void unlist_opening(struct kms *kms, struct opening *opening)
{
	pthread_mutex_lock(&kms->lock);
	DL_DELETE(kms->openings, opening);
	pthread_mutex_unlock(&kms->lock);
}

void kms_cancel(struct kms *kms)
{
	pthread_mutex_lock(&kms->lock);
	atomic_store(&kms->is_cancelled, true);
	for (struct opening *opening = kms->openings; opening; opening = opening->next)
		atomic_store(&opening->is_decided, true);
	pthread_mutex_unlock(&kms->lock);
}

int kms_open_hedged(struct kms *kms, struct kek *kek, const struct key_record *record,
		    struct dek **ret_dek, size_t *ret_slot_index, struct kms_error *reterr)
{
	struct opening *opening = NULL;
	int r = opening_start(kms, kek, record, &opening);

	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "asking a key service: %s",
				strerror(-r));
	list_opening(kms, opening);
	r = open_with(opening, ret_dek, ret_slot_index, reterr);
	unlist_opening(kms, opening);
	opening_put(opening);
	return r;
}

void kms_listen(struct kms *kms,
		void (*listener)(void *arg, const struct uuid *dek_id, const struct kms_error *no),
		void *arg)
{
	pthread_mutex_lock(&kms->listener_lock);
	kms->listener = listener;
	kms->listener_arg = arg;
	pthread_mutex_unlock(&kms->listener_lock);
}
