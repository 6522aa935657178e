/* SPDX-License-Identifier: Apache-2.0 */
/* What may be done in a snapshot, and under which DEK. */
#include <errno.h>
#include <syslog.h>

#include "fs/store/snapshot_internal.h"

/* The identity and the key record must name each other, and the identity must be the DEK's. */
static int check_identity(struct snapshot *snapshot, const struct dek *dek)
{
	const struct identity *identity = &snapshot->identity;
	const struct bytes part = bytes_from_text(identity->mac_input);
	struct uuid named;
	int r;

	if (atomic_load(&snapshot->is_mac_verified))
		return 0;
	if (!store_dek_snapshot(snapshot->store, &identity->dek, &named) ||
	    !uuid_equal(&named, &identity->snapshot))
		r = -EBADMSG;
	else
		r = dek_mac_verify(dek, DEK_LABEL_IDENTITY, &part, 1, identity->mac);
	if (r == 0)
		atomic_store(&snapshot->is_mac_verified, true);
	if (r == -EBADMSG && !atomic_exchange(&snapshot->is_not_authentic, true))
		store_report(snapshot->store, LOG_ERR, snapshot_name(snapshot),
			     "foreign: its identity does not belong to its data key");
	return r;
}

static int own_dek(struct snapshot *snapshot, bool is_for_write, struct dek **ret_dek)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	const struct uuid *id = &snapshot->identity.dek;
	int r;

	if (snapshot_is_foreign(snapshot))
		return -EACCES;
	if (!snapshot->identity.is_encrypted || snapshot->identity.kind != IDENTITY_SNAPSHOT)
		return -ENODATA;
	r = is_for_write ? store_dek_for_write(snapshot->store, id, &dek)
			 : store_dek(snapshot->store, id, &dek);
	if (r == 0)
		r = check_identity(snapshot, dek);
	if (r < 0)
		return r;
	*ret_dek = TAKE(dek);
	return 0;
}

int snapshot_name_dek(struct snapshot *snapshot, struct dek **ret_dek)
{
	return own_dek(snapshot, false, ret_dek);
}

/* Streams and the root have no MAC: who signed the identity decides whether names may be plain there. */
static int check_stream(struct snapshot *snapshot)
{
	if (snapshot->is_trusted)
		return 0;
	if (!atomic_exchange(&snapshot->is_refusal_reported, true))
		store_report(
			snapshot->store, LOG_ERR, snapshot_name(snapshot),
			"identity of an unknown writer: nothing is written here; accept the writer with trusted_writers");
	return -EACCES;
}

static int check_writable(struct snapshot *snapshot)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	const struct store *store = snapshot->store;

	if (!store->is_writable)
		return -EROFS;
	if (snapshot_is_foreign(snapshot))
		return -EACCES;
	if (snapshot_state(snapshot) == SNAPSHOT_DUPLICATE ||
	    snapshot_state(snapshot) == SNAPSHOT_SEALED ||
	    store_snapshot_is_frozen(snapshot->store, &snapshot->id))
		return -EROFS;
	if (!snapshot->identity.is_encrypted)
		return store->volume.is_encrypted ? -EROFS : 0;
	if (snapshot->identity.kind != IDENTITY_SNAPSHOT)
		return check_stream(snapshot);
	return own_dek(snapshot, true, &dek);
}

static int mark_once(struct snapshot *snapshot)
{
	int r = 0;

	if (atomic_load(&snapshot->is_marked))
		return 0;
	pthread_mutex_lock(&snapshot->mutex);
	if (!atomic_load(&snapshot->is_marked))
		r = snapshot_mark(snapshot->store, &snapshot->id);
	if (r == 0) {
		atomic_store(&snapshot->is_marked, true);
		atomic_store(&snapshot->is_incomplete, false);
	}
	pthread_mutex_unlock(&snapshot->mutex);
	return r;
}

int snapshot_may_write(struct snapshot *snapshot)
{
	int r = check_writable(snapshot);

	return r < 0 ? r : mark_once(snapshot);
}

int snapshot_write_dek(struct snapshot *snapshot, struct dek **ret_dek)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	int r = check_writable(snapshot);

	if (r < 0)
		return r;
	if (!snapshot->identity.is_encrypted)
		return -ENODATA;
	r = snapshot->identity.kind == IDENTITY_SNAPSHOT ? own_dek(snapshot, true, &dek)
							 : snapshot_stream_dek(snapshot, &dek);
	if (r == 0)
		r = mark_once(snapshot);
	if (r < 0)
		return r;
	*ret_dek = TAKE(dek);
	return 0;
}

bool snapshot_was_written(const struct snapshot *snapshot)
{
	return atomic_load(&snapshot->is_marked);
}
