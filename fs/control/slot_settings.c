/* SPDX-License-Identifier: Apache-2.0 */
/* What a change of slots means for new data keys, and for what shows which keys a snapshot needs. */
#include <errno.h>
#include <string.h>

#include "fs/access.h"
#include "fs/control/slot_change.h"
#include "fs/store/snapshot.h"
#include "meta/exit_code.h"
#include "meta/key_id.h"

static bool is_recovery_uri(const char *uri)
{
	return strncmp(uri, "recovery://", strlen("recovery://")) == 0;
}

static bool has_recovery_key(const struct volume_record *record, const char *id)
{
	for (size_t i = 0; i < record->recovery_key_count; i++)
		if (strcmp(record->recovery_keys[i].id, id) == 0)
			return true;
	return false;
}

/* 1: changed; 0: it is there already. */
static int add_key(const struct change_target *target, const struct slot_change *change,
		   struct volume_record *record, struct store_error *reterr)
{
	int r;

	if (is_recovery_uri(change->uri)) {
		if (has_recovery_key(record, change->key_id))
			return 0;
		r = access_add_recovery_key(target->config, target->kms,
					    change->uri + strlen("recovery://"), record, reterr);
		return r < 0 ? r : 1;
	}
	if (strcmp(record->default_key, change->uri) == 0)
		return 0;
	for (size_t i = 0; i < record->alternate_key_count; i++)
		if (strcmp(record->alternate_keys[i].uri, change->uri) == 0)
			return 0;
	r = volume_record_add_alternate(record, change->key_id, change->uri);
	return r < 0 ? store_fail(reterr, r, EXIT_USAGE, "alternate keys: %s", strerror(-r)) : 1;
}

static int remove_key(const struct slot_change *change, struct volume_record *record)
{
	int changed = 0;

	for (size_t i = record->alternate_key_count; i-- > 0;)
		if (key_id_matches(record->alternate_keys[i].id, change->from)) {
			volume_record_remove_alternate(record, i);
			changed = 1;
		}
	for (size_t i = record->recovery_key_count; i-- > 0;)
		if (strcmp(record->recovery_keys[i].id, change->from) == 0) {
			volume_record_remove_recovery_key(record, i);
			changed = 1;
		}
	return changed;
}

static bool is_configured(const struct change_target *target, const struct slot_change *change)
{
	const bool is_recovery = change->verb == VERB_ADD
					 ? is_recovery_uri(change->uri)
					 : strncmp(change->from, "recovery:", 9) == 0;

	return config_is_set(target->config, target->volume_name,
			     is_recovery ? "recovery_key" : "alternate_key");
}

int slot_change_settings(const struct change_target *target, const struct slot_change *change,
			 bool *ret_is_configured, struct store_error *reterr)
{
	struct volume_record record = { 0 };
	int r;

	*ret_is_configured = is_configured(target, change);
	if (*ret_is_configured || change->verb == VERB_REWRAP)
		return 0;
	r = store_copy_volume(target->store, &record);
	if (r < 0)
		return store_fail(reterr, r, EXIT_FAILED, "settings: %s", strerror(-r));
	r = change->verb == VERB_ADD ? add_key(target, change, &record, reterr)
				     : remove_key(change, &record);
	if (r > 0) {
		r = store_publish_volume_record(target->store, &record);
		if (r < 0)
			store_fail(reterr, r, (enum exit_code)exit_code_from_errno(r),
				   "settings of the volume were not written: %s", strerror(-r));
	}
	volume_record_free(&record);
	return r < 0 ? r : 0;
}

static int refresh(void *arg, struct snapshot *snapshot, int fd)
{
	(void)arg;
	(void)fd;
	snapshot_refresh_index(snapshot);
	return 0;
}

int slot_change_finish(const struct change_target *target, struct store_error *reterr)
{
	const int r = snapshot_each(target->store, refresh, NULL);

	return r < 0 ? store_fail(reterr, r, EXIT_STORAGE, "index of keys: %s", strerror(-r)) : 0;
}
