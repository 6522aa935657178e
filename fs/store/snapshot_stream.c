/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DEK of a stream's period.
 *
 * Which one is in use stands in the state directory; a host that does not know searches the key records once, among those it
 * trusts.  While the key service cannot be reached, a period lasts longer: archiving goes on under the DEK that is open.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "fs/store/own_credentials.h"
#include "fs/store/snapshot_internal.h"

struct stream_search {
	struct snapshot *snapshot;
	int64_t now_s;
};

static bool is_trusted_key(struct store *store, const struct key_record *record,
			   enum trust_origin origin)
{
	struct dek_pin pin;

	if (trust_origin_is_trusted(origin))
		return true;
	return trust_dek_pin(store->trust, &record->volume, &record->dek, &pin) == 0 &&
	       pin.is_trusted &&
	       memcmp(pin.commitment, record->commitment, DEK_COMMITMENT_SIZE) == 0;
}

static void consider(struct stream_search *search, const struct key_record *record,
		     enum trust_origin origin)
{
	struct snapshot *snapshot = search->snapshot;

	if (!uuid_equal(&record->snapshot, &snapshot->id) ||
	    record->period_start_s > search->now_s ||
	    (snapshot->has_current && record->period_start_s <= snapshot->current_start_s) ||
	    !is_trusted_key(snapshot->store, record, origin))
		return;
	snapshot->has_current = true;
	snapshot->current_dek = record->dek;
	snapshot->current_start_s = record->period_start_s;
}

static int visit_dek(void *arg, const struct uuid *dek_id)
{
	struct stream_search *search = arg;
	struct key_record record;
	enum trust_origin origin;
	int r = store_key_record(search->snapshot->store, dek_id, &record, &origin);

	/* One that cannot be read is not the one in use, and is reported. */
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	consider(search, &record, origin);
	key_record_free(&record);
	return 0;
}

/* What the state directory says; false: nothing that fits. */
static bool recall(struct snapshot *snapshot, int64_t now_s)
{
	struct store *store = snapshot->store;
	struct dek_pin pin;
	struct uuid id;

	if (trust_stream_dek(store->trust, &store->volume.volume, &snapshot->id, &id) < 0 ||
	    trust_dek_pin(store->trust, &store->volume.volume, &id, &pin) < 0)
		return false;
	if (!pin.is_trusted || !uuid_equal(&pin.snapshot, &snapshot->id) ||
	    pin.period_start_s > now_s)
		return false;
	snapshot->has_current = true;
	snapshot->current_dek = id;
	snapshot->current_start_s = pin.period_start_s;
	return true;
}

static int find_current(struct snapshot *snapshot, int64_t now_s)
{
	struct stream_search search = { .snapshot = snapshot, .now_s = now_s };

	if (snapshot->has_current || recall(snapshot, now_s))
		return 0;
	return dek_each(snapshot->store, visit_dek, &search);
}

static bool is_in_use(const struct snapshot *snapshot, int64_t now_s)
{
	return snapshot->has_current && snapshot->current_start_s <= now_s &&
	       now_s - snapshot->current_start_s < snapshot->identity.period_s &&
	       !store_dek_is_sealed(snapshot->store, &snapshot->current_dek);
}

static int begin_period(struct snapshot *snapshot, int64_t now_s, struct dek **ret_dek)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct store *store = snapshot->store;
	struct key_record record;
	struct uuid id;
	int r = store_take_dek(store, &snapshot->id, &record, &dek);

	if (r < 0)
		return r;
	record.period_start_s = now_s;
	r = store_publish_new_dek(store, &record, dek);
	id = record.dek;
	key_record_free(&record);
	if (r == 0)
		r = trust_set_stream_dek(store->trust, &store->volume.volume, &snapshot->id, &id);
	if (r < 0)
		return r;
	snapshot->has_current = true;
	snapshot->current_dek = id;
	snapshot->current_start_s = now_s;
	*ret_dek = TAKE(dek);
	return 0;
}

/* No answer: nothing that the service has said about the key. */
static bool is_unreachable(int error)
{
	return error == -EHOSTUNREACH || error == -ETIMEDOUT || error == -EKEYEXPIRED;
}

static int need_dek(struct snapshot *snapshot, bool *is_new, struct dek **ret_dek)
{
	CLEANUP(own_credentials_restore)
	struct own_credentials saved = own_credentials_take();
	const int64_t now_s = time(NULL);
	int r = find_current(snapshot, now_s);

	(void)saved;
	if (r < 0)
		return r;
	if (is_in_use(snapshot, now_s)) {
		r = store_dek_for_write(snapshot->store, &snapshot->current_dek, ret_dek);
		/* Made before this mount: a write-only host has it no longer, and begins a new one. */
		if (r != -EACCES || !snapshot->store->is_write_only)
			return r;
	}
	r = begin_period(snapshot, now_s, ret_dek);
	if (r == 0)
		*is_new = true;
	if (is_unreachable(r) && snapshot->has_current &&
	    store_dek_for_write(snapshot->store, &snapshot->current_dek, ret_dek) == 0) {
		if (!atomic_exchange(&snapshot->is_refusal_reported, true))
			store_report(
				snapshot->store, LOG_WARNING, snapshot_name(snapshot),
				"no new data key, because the key service does not answer: the old one stays in use");
		return 0;
	}
	return r;
}

int snapshot_stream_dek(struct snapshot *snapshot, struct dek **ret_dek)
{
	bool is_new = false;
	int r;

	pthread_mutex_lock(&snapshot->mutex);
	r = need_dek(snapshot, &is_new, ret_dek);
	pthread_mutex_unlock(&snapshot->mutex);
	if (is_new) {
		atomic_store(&snapshot->is_refusal_reported, false);
		snapshot_write_index(snapshot);
	}
	return r;
}
