/* SPDX-License-Identifier: Apache-2.0 */
/* Telling who watches the keys: which slot opened a DEK, and when its slots change. */
#include <syslog.h>
#include <time.h>

#include "fs/store/store_internal.h"

#define REPORT_INTERVAL_S 60 /* a mount may open many DEKs while the service is down */

bool store_tell_key(struct store *store, const struct uuid *dek_id, enum store_key_event event)
{
	bool is_watched;

	pthread_mutex_lock(&store->watch_mutex);
	if (event == STORE_KEY_STRAYED)
		store->strayed_dek = *dek_id;
	is_watched = store->watch != NULL;
	if (is_watched)
		store->watch(store->watch_arg, dek_id, event);
	pthread_mutex_unlock(&store->watch_mutex);
	return is_watched;
}

void store_watch_keys(struct store *store,
		      void (*watch)(void *arg, const struct uuid *dek_id,
				    enum store_key_event event),
		      void *arg)
{
	pthread_mutex_lock(&store->watch_mutex);
	store->watch = watch;
	store->watch_arg = arg;
	if (watch && !uuid_is_zero(&store->strayed_dek))
		watch(arg, &store->strayed_dek, STORE_KEY_STRAYED);
	pthread_mutex_unlock(&store->watch_mutex);
}

static bool is_report_due(struct store *store)
{
	const int64_t now_s = time(NULL);
	bool is_due;

	pthread_mutex_lock(&store->watch_mutex);
	is_due = now_s - store->strayed_s >= REPORT_INTERVAL_S;
	if (is_due)
		store->strayed_s = now_s;
	pthread_mutex_unlock(&store->watch_mutex);
	return is_due;
}

void store_key_strayed(void *arg, const struct uuid *dek_id, const struct slot *slot,
		       const struct kms_error *primary)
{
	struct store *store = arg;

	if (!slot) {
		store_report(store, LOG_ERR, "", "the primary key answers at last: %s",
			     primary->text);
		if (!store_tell_key(store, dek_id, STORE_KEY_REFUSED))
			dek_ring_revoke(store->deks, dek_id,
					key_state_is_definite_no(primary->state)
						? primary->state
						: KEY_STATE_DENIED);
		return;
	}
	if (is_report_due(store))
		store_report(store, LOG_WARNING, "", "primary unreachable: %s; opened through %s",
			     primary->text, slot->key_id);
	(void)store_tell_key(store, dek_id, STORE_KEY_STRAYED);
}
