/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the slots of the data keys of one volume. */
#include "fs/cmd/slot_run.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/progress.h"
#include "fs/store/key_list.h"
#include "meta/key_id.h"

#define THREADS_MAX        4 /* key services answer several at one time */
#define FAILURES_MAX       8 /* in a row: the rest would fail as well */
#define FAILURES_SHOWN_MAX 10
#define REQUEST_TIMEOUT_MS 600000

void slot_run_free(struct slot_run *run)
{
	free(run->items);
	slot_needs_free(&run->before);
	slot_needs_free(&run->after);
	*run = (struct slot_run){ 0 };
}

/* ---- The plan ---------------------------------------------------------------------------------- */

static int add_item(struct slot_run *run, const struct uuid *dek)
{
	struct slot_item *more = NULL;

	if ((run->count & (run->count - 1)) == 0) {
		more = reallocarray(run->items, run->count == 0 ? 1 : run->count * 2,
				    sizeof(*more));
		if (more == NULL)
			return -ENOMEM;
		run->items = more;
	}
	run->items[run->count++] = (struct slot_item){ .dek = *dek };
	return 0;
}

/* 1: the snapshot that was named needs this data key. */
static int is_selected(struct slot_run *run, const struct key_record *record)
{
	struct uuid *others = NULL;
	size_t count = 0;
	int r = 0;

	if (uuid_is_zero(&run->snapshot) || uuid_equal(&run->snapshot, &record->snapshot))
		return 1;
	r = key_list_needed_by(run->session->store, &record->dek, &others, &count);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (uuid_equal(&run->snapshot, &others[i])) {
			r = 1;
			break;
		}
	free(others);
	return r;
}

static int note_needs(struct slot_run *run, const struct key_record *record)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < record->slot_count; i++) {
		struct slot_need *need = NULL;

		if (!slot_change_touches(&run->change, record, i))
			continue;
		run->touches_primary = run->touches_primary ||
				       record->slots[i].role == SLOT_PRIMARY;
		need = slot_needs_get(&run->before, run->change.from[0] != '\0'
							    ? run->change.from
							    : record->slots[i].key_id);
		r = need == NULL ? -ENOMEM : slot_need_add(need, run->session->store, record);
	}
	return r;
}

static int plan_record(void *arg, const struct uuid *dek, const struct key_record *record,
		       enum trust_origin origin, int error)
{
	struct slot_run *run = arg;
	enum slot_work work;
	size_t count = 0;
	int r = 0;

	(void)origin;
	if (error < 0) {
		run->unreadable++;
		return 0;
	}
	r = is_selected(run, record);
	if (r <= 0)
		return r;
	run->seen++;
	r = store_count_key_records(run->session->store, dek, &count);
	if (r < 0)
		return r;
	work = slot_change_work(&run->change, record, count);
	if (work == SLOT_WORK_NONE)
		return 0;
	r = note_needs(run, record);
	return r < 0 ? r : add_item(run, dek);
}

int slot_run_plan(struct slot_run *run)
{
	int r = 0;

	if (run->change.from[0] != '\0' && slot_needs_get(&run->before, run->change.from) == NULL)
		r = -ENOMEM;
	if (r == 0)
		r = key_list_each(run->session->store, plan_record, run);
	return r < 0 ? fail(run->session->invocation, EXIT_STORAGE, "key records: %s", strerror(-r))
		     : 0;
}

/* ---- Doing it ---------------------------------------------------------------------------------- */

/* What the threads share; LOCK guards all below it. */
struct execution {
	struct slot_run *run;
	struct change_target target;
	struct progress *progress;
	pthread_mutex_t lock;
	size_t next;
	size_t failures; /* in a row */
	size_t shown;
};

static bool take_items(struct execution *execution, size_t wanted, size_t *ret_first,
		       size_t *ret_count)
{
	struct slot_run *run = execution->run;
	size_t left;

	pthread_mutex_lock(&execution->lock);
	left = execution->failures >= FAILURES_MAX ? 0 : run->count - execution->next;
	*ret_first = execution->next;
	*ret_count = left < wanted ? left : wanted;
	execution->next += *ret_count;
	pthread_mutex_unlock(&execution->lock);
	return *ret_count > 0;
}

static void show_failure(struct execution *execution, const struct store_error *error)
{
	const struct invocation *invocation = execution->run->session->invocation;

	if (execution->shown == FAILURES_SHOWN_MAX)
		notice(invocation, "more failures are not shown");
	else if (execution->shown < FAILURES_SHOWN_MAX)
		notice(invocation, "%s%s%s", error->text, error->advice[0] == '\0' ? "" : "; ",
		       error->advice);
	execution->shown++;
}

static void take_outcome(struct execution *execution, struct slot_item *item,
			 const struct slot_outcome *outcome)
{
	struct slot_run *run = execution->run;

	pthread_mutex_lock(&execution->lock);
	item->outcome = *outcome;
	item->is_done = true;
	if (outcome->error.code < 0) {
		run->failed++;
		execution->failures++;
		progress_error(execution->progress);
		show_failure(execution, &outcome->error);
	} else {
		execution->failures = 0;
		run->changed += outcome->work == SLOT_WORK_CHANGE;
	}
	progress_add(execution->progress, 1, 0);
	pthread_mutex_unlock(&execution->lock);
}

static void change_here(struct execution *execution, size_t index)
{
	struct slot_item *item = &execution->run->items[index];
	struct slot_outcome outcome = { 0 };

	if (slot_change_apply(&execution->target, &execution->run->change, &item->dek,
			      &outcome.work, &outcome.error) == 0)
		outcome.error.code = 0;
	take_outcome(execution, item, &outcome);
}

static void change_in_mount(struct execution *execution, size_t first, size_t count)
{
	struct slot_run *run = execution->run;
	struct uuid deks[SLOT_REQUEST_DEKS];
	CLEANUP(document_cleanup) struct json_object *request = NULL;
	CLEANUP(document_cleanup) struct json_object *reply = NULL;
	int r;

	for (size_t i = 0; i < count; i++)
		deks[i] = run->items[first + i].dek;
	request = slot_request_new(&run->change, deks, count, false, false);
	r = control_ask(run->session->mounts.directory_fd, run->mount->socket, request,
			REQUEST_TIMEOUT_MS, &reply, NULL);
	for (size_t i = 0; i < count; i++) {
		struct slot_outcome outcome = { 0 };

		if (r == 0)
			slot_request_outcome(reply, i, &outcome);
		else
			store_fail(&outcome.error, r, EXIT_FAILED,
				   "the mount at %s did not answer: %s",
				   control_mountpoint(run->mount), strerror(-r));
		take_outcome(execution, &run->items[first + i], &outcome);
	}
}

static void *execute(void *arg)
{
	struct execution *execution = arg;
	const bool is_mounted = execution->run->mount != NULL;
	size_t first = 0;
	size_t count = 0;

	while (take_items(execution, is_mounted ? SLOT_REQUEST_DEKS : 1, &first, &count)) {
		if (is_mounted)
			change_in_mount(execution, first, count);
		else
			change_here(execution, first);
	}
	return NULL;
}

static struct change_target target_of(struct session *session)
{
	return (struct change_target){
		.store = session->store,
		.trust = session->access.trust,
		.kms = session->access.kms,
		.config = session->access.config,
		.volume_name = session->access.volume_name,
	};
}

static void run_threads(struct execution *execution)
{
	pthread_t threads[THREADS_MAX];
	size_t started = 0;

	while (started < THREADS_MAX && started < execution->run->count &&
	       pthread_create(&threads[started], NULL, execute, execution) == 0)
		started++;
	if (started == 0)
		execute(execution);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

int slot_run_execute(struct slot_run *run)
{
	struct invocation *invocation = run->session->invocation;
	const struct progress_options options = {
		.verb = run->change.verb == VERB_REWRAP ? "rewrapped" : "changed",
		.items = "data keys",
	};
	struct execution execution = { .run = run, .target = target_of(run->session) };
	int r = progress_start(invocation, &options, &execution.progress);

	if (r < 0)
		return fail(invocation, EXIT_FAILED, "progress: %s", strerror(-r));
	progress_total(execution.progress, run->count, 0);
	pthread_mutex_init(&execution.lock, NULL);
	run_threads(&execution);
	pthread_mutex_destroy(&execution.lock);
	progress_stop(execution.progress);
	return 0;
}

/* ---- Afterwards -------------------------------------------------------------------------------- */

int slot_run_finish(struct slot_run *run, bool changes_settings)
{
	struct session *session = run->session;
	const struct change_target target = target_of(session);
	CLEANUP(document_cleanup) struct json_object *request = NULL;
	CLEANUP(document_cleanup) struct json_object *reply = NULL;
	struct store_error error = { 0 };
	int r = 0;

	if (run->mount != NULL) {
		request = slot_request_new(&run->change, NULL, 0, changes_settings, true);
		r = session_ask(session, run->mount, request, REQUEST_TIMEOUT_MS, &reply);
		run->is_configured = r == 0 && document_is_true(reply, "is_configured");
		return r;
	}
	if (changes_settings)
		r = slot_change_settings(&target, &run->change, &run->is_configured, &error);
	if (r == 0)
		r = slot_change_finish(&target, &error);
	return r < 0 ? session_fail(session, &error) : 0;
}

/* Has RECORD a slot under this key, in any of its versions but the new one? */
static bool needs_key(const struct slot_run *run, const struct key_record *record,
		      const char *key_id)
{
	for (size_t i = 0; i < record->slot_count; i++)
		if (key_id_matches(record->slots[i].key_id, key_id) &&
		    strcmp(record->slots[i].key_id, run->change.key_id) != 0)
			return true;
	return false;
}

static int count_record(void *arg, const struct uuid *dek, const struct key_record *record,
			enum trust_origin origin, int error)
{
	struct slot_run *run = arg;
	int r = 0;

	(void)dek;
	(void)origin;
	for (size_t i = 0; error == 0 && r == 0 && i < run->after.count; i++)
		if (needs_key(run, record, run->after.needs[i].key_id))
			r = slot_need_add(&run->after.needs[i], run->session->store, record);
	return r;
}

int slot_run_count_needs(struct slot_run *run)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < run->before.count; i++)
		if (slot_needs_get(&run->after, run->before.needs[i].key_id) == NULL)
			r = -ENOMEM;
	if (r == 0)
		r = key_list_each(run->session->store, count_record, run);
	slot_needs_sort(&run->before);
	slot_needs_sort(&run->after);
	return r < 0 ? fail(run->session->invocation, EXIT_STORAGE, "key records: %s", strerror(-r))
		     : 0;
}
