/* SPDX-License-Identifier: Apache-2.0 */
/* Changing the slots of stored data keys. */
#include "fs/control/slot_change.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/access.h"
#include "meta/exit_code.h"
#include "meta/key_id.h"

static bool is_uri(const char *text)
{
	return kms_provider_for_uri(text) != NULL && strstr(text, ":/") != NULL;
}

static enum slot_role role_of(const struct slot_change *change)
{
	return strncmp(change->uri, "recovery:", strlen("recovery:")) == 0 ? SLOT_RECOVERY
									   : SLOT_ALTERNATE;
}

/* ---- Names ----------------------------------------------------------------------------------- */

static int set_text(char to[static KEY_ID_SIZE], const char *text, struct store_error *reterr)
{
	if (strlen(text) >= KEY_ID_SIZE)
		return store_fail(reterr, -ENAMETOOLONG, EXIT_USAGE,
				  "the name of the key is too long");
	strcpy(to, text);
	return 0;
}

int slot_change_allow(const struct change_target *target, const struct slot_change *change,
		      struct store_error *reterr)
{
	struct kms_error key_error = { 0 };
	int r = change->uri[0] == '\0'
			? 0
			: access_add_key(target->config, target->kms, change->uri, &key_error);

	return r < 0 ? access_key_error(r, &key_error, reterr) : 0;
}

/* A recovery key can be described, but not tried: its private key is offline. */
static int try_key(const struct change_target *target, struct slot_change *change,
		   struct store_error *reterr)
{
	const bool is_recovery = role_of(change) == SLOT_RECOVERY;
	struct kms_error key_error = { 0 };
	struct kms_key_info info = { 0 };
	int r = access_check_key(target->config, target->volume_name, change->uri, reterr);

	if (r < 0)
		return r;
	if (is_recovery && change->verb == VERB_REWRAP)
		return store_fail(reterr, -EINVAL, EXIT_USAGE,
				  "a recovery key opens nothing by itself: add it with 'keys add'");
	r = is_recovery ? kms_describe(target->kms, change->uri, &info, &key_error)
			: kms_test_key(target->kms, change->uri, &info, &key_error);
	if (r < 0)
		return access_key_error(r, &key_error, reterr);
	memcpy(change->key_id, info.key_id, sizeof(change->key_id));
	r = is_recovery ? 0 : trust_add_kek(target->trust, change->uri, info.key_id);
	return r < 0 ? store_fail(reterr, r, EXIT_FAILED, "state directory: %s", strerror(-r)) : 0;
}

/* The Encryption Key ID of a URI, as the service has it now. */
static int resolve_from(const struct change_target *target, struct slot_change *change,
			const char *from, struct store_error *reterr)
{
	struct kms_error key_error = { 0 };
	struct kms_key_info info = { 0 };
	int r;

	if (!is_uri(from))
		return set_text(change->from, from, reterr);
	r = access_add_key(target->config, target->kms, from, &key_error);
	if (r == 0)
		r = kms_describe(target->kms, from, &info, &key_error);
	if (r < 0) {
		access_key_error(r, &key_error, reterr);
		store_advise(reterr, "name its Encryption Key ID: see 'snapcrypt keys list'");
		return r;
	}
	memcpy(change->from, info.key_id, sizeof(change->from));
	return 0;
}

int slot_change_prepare(const struct change_target *target, struct slot_change *change,
			const char *uri, const char *from, struct store_error *reterr)
{
	int r = set_text(change->uri, uri, reterr);

	if (r == 0)
		r = slot_change_allow(target, change, reterr);
	if (r == 0 && change->uri[0] != '\0')
		r = try_key(target, change, reterr);
	if (r == 0 && from[0] != '\0')
		r = resolve_from(target, change, from, reterr);
	return r;
}

/* ---- What there is to do ----------------------------------------------------------------------- */

static bool has_key(const struct key_record *record, const char *key_id)
{
	for (size_t i = 0; i < record->slot_count; i++)
		if (strcmp(record->slots[i].key_id, key_id) == 0)
			return true;
	return false;
}

bool slot_change_touches(const struct slot_change *change, const struct key_record *record,
			 size_t index)
{
	const struct slot *slot = &record->slots[index];

	switch (change->verb) {
	case VERB_ADD:
		return false;
	case VERB_REMOVE:
		return key_id_matches(slot->key_id, change->from);
	case VERB_REWRAP:
		break;
	}
	if (slot->role == SLOT_RECOVERY || strcmp(slot->key_id, change->key_id) == 0)
		return false;
	return change->from[0] == '\0' ? slot->role == SLOT_PRIMARY
				       : key_id_matches(slot->key_id, change->from);
}

enum slot_work slot_change_work(const struct slot_change *change, const struct key_record *record,
				size_t generation_count)
{
	bool is_needed = change->verb == VERB_ADD && !has_key(record, change->key_id);

	for (size_t i = 0; !is_needed && i < record->slot_count; i++)
		is_needed = slot_change_touches(change, record, i);
	if (is_needed)
		return SLOT_WORK_CHANGE;
	return generation_count > 1 ? SLOT_WORK_FINISH : SLOT_WORK_NONE;
}

/* ---- Doing it -------------------------------------------------------------------------------- */

/* One data key. */
struct work {
	const struct change_target *target;
	const struct slot_change *change;
	struct key_record record;
	struct dek *dek;
	struct store_error *reterr;
};

static int fail_key_call(struct work *work, int error, const struct kms_error *key_error)
{
	return access_key_error(error, key_error, work->reterr);
}

static int fail_record(struct work *work, int error)
{
	char id[UUID_TEXT_SIZE];

	uuid_format(&work->record.dek, id);
	store_fail(work->reterr, error, (enum exit_code)exit_code_from_errno(error),
		   "key record of data key %s: %s", id,
		   error == -EACCES ? "its writer is not trusted here" : strerror(-error));
	if (error == -EACCES) {
		work->reterr->exit_code = EXIT_ORIGIN;
		store_advise(work->reterr, "if it is yours: 'snapcrypt keys trust'");
	}
	return error;
}

static int open_dek(struct work *work)
{
	const struct change_target *target = work->target;
	struct kms_error key_error = { 0 };
	const int r = work->change->recovery_key != NULL
			      ? kms_recover_dek(target->kms, work->change->recovery_key,
						&work->record, &work->dek, &key_error)
			      : dek_ring_get(store_deks(target->store), &work->record.dek,
					     &work->dek, &key_error);

	return r < 0 ? fail_key_call(work, r, &key_error) : 0;
}

static int audit(struct work *work, enum audit_operation operation, const struct slot *slot,
		 const char *detail)
{
	const int r = kms_audit(work->target->kms, &(struct audit_entry){ .operation = operation,
									  .slot = slot,
									  .detail = detail });

	return r < 0 ? store_fail(work->reterr, r, EXIT_FAILED,
				  "the audit log cannot be written, and audit_on_failure is block")
		     : 0;
}

static int add_slot(struct work *work)
{
	const struct slot_change *change = work->change;
	struct kms_error key_error = { 0 };
	const int r = kms_add_slot(work->target->kms, work->dek, change->uri, role_of(change),
				   &work->record, &key_error);

	if (r < 0)
		return fail_key_call(work, r, &key_error);
	return audit(work, AUDIT_SLOT_ADD, &work->record.slots[work->record.slot_count - 1], NULL);
}

/* One under the new KEK would be there twice: the alternate becomes what the primary was. */
static void remove_doubles(struct work *work, size_t kept)
{
	struct key_record *record = &work->record;

	for (size_t i = record->slot_count; i-- > 0;)
		if (i != kept && record->slots[i].role == SLOT_ALTERNATE &&
		    strcmp(record->slots[i].key_id, record->slots[kept].key_id) == 0)
			key_record_remove_slot(record, i);
}

static int rewrap_slots(struct work *work)
{
	const struct slot_change *change = work->change;
	struct key_record *record = &work->record;
	size_t primary;

	for (size_t i = 0; i < record->slot_count; i++) {
		char old[KEY_ID_SIZE];
		struct kms_error key_error = { 0 };
		int r;

		if (!slot_change_touches(change, record, i))
			continue;
		memcpy(old, record->slots[i].key_id, sizeof(old));
		r = kms_rewrap_slot(work->target->kms, work->dek, change->uri, i, record,
				    &key_error);
		if (r < 0)
			return fail_key_call(work, r, &key_error);
		r = audit(work, AUDIT_REWRAP, &record->slots[i], old);
		if (r < 0)
			return r;
	}
	primary = (size_t)(key_record_primary(record) - record->slots);
	remove_doubles(work, primary);
	return 0;
}

/* What stays must open by itself: the primary, or an alternate. */
static int check_rest(struct work *work)
{
	const struct key_record *record = &work->record;
	struct kms_error key_error = { 0 };
	int r = -ENOKEY;

	for (size_t i = 0; i < record->slot_count && r < 0; i++)
		if (record->slots[i].role != SLOT_RECOVERY)
			r = kms_check_slot(work->target->kms, record, i, &key_error);
	if (r == 0)
		return 0;
	access_key_error(r, &key_error, work->reterr);
	store_fail(work->reterr, -EPERM, EXIT_POLICY,
		   "no other slot opens this data key now, so this one stays: %s", key_error.text);
	return -EPERM;
}

static int remove_slots(struct work *work)
{
	struct key_record *record = &work->record;
	int r = 0;

	for (size_t i = record->slot_count; r == 0 && i-- > 0;) {
		if (!slot_change_touches(work->change, record, i))
			continue;
		if (record->slots[i].role == SLOT_PRIMARY) {
			store_fail(work->reterr, -EPERM, EXIT_POLICY, "%s is the primary key",
				   record->slots[i].key_id);
			store_advise(work->reterr, "put another in its place with 'keys rewrap'");
			return -EPERM;
		}
		r = audit(work, AUDIT_SLOT_REMOVE, &record->slots[i], NULL);
		key_record_remove_slot(record, i);
	}
	if (r < 0)
		return r;
	r = kms_authenticate_record(work->dek, record);
	return r < 0 ? fail_record(work, r) : check_rest(work);
}

/* Written, read back as it was when its slots opened; then the older ones go. */
static int publish(struct work *work)
{
	struct store *store = work->target->store;
	struct key_record *record = &work->record;
	struct key_record stored = { 0 };
	int r = store_publish_key_record(store, record, work->dek);

	if (r == 0)
		r = store_key_record(store, &record->dek, &stored, NULL);
	if (r < 0)
		return fail_record(work, r);
	r = strcmp(stored.mac_input, record->mac_input) == 0 ? kms_check_record(work->dek, &stored)
							     : -EBADMSG;
	key_record_free(&stored);
	if (r == 0)
		r = store_drop_key_records(store, &record->dek, record->generation);
	return r < 0 ? fail_record(work, r) : 0;
}

static int change_record(struct work *work)
{
	int r = open_dek(work);

	if (r < 0)
		return r;
	switch (work->change->verb) {
	case VERB_ADD:
		r = add_slot(work);
		break;
	case VERB_REMOVE:
		r = remove_slots(work);
		break;
	case VERB_REWRAP:
		r = rewrap_slots(work);
		break;
	}
	return r < 0 ? r : publish(work);
}

/* A change that was interrupted before its last step: the record that counts must open before others go. */
static int finish_record(struct work *work)
{
	const struct key_record *record = &work->record;
	const size_t primary = (size_t)(key_record_primary(record) - record->slots);
	struct kms_error key_error = { 0 };
	int r = kms_check_slot(work->target->kms, record, primary, &key_error);

	if (r < 0)
		return fail_key_call(work, r, &key_error);
	r = store_drop_key_records(work->target->store, &record->dek, record->generation);
	return r < 0 ? fail_record(work, r) : 0;
}

int slot_change_apply(const struct change_target *target, const struct slot_change *change,
		      const struct uuid *dek_id, enum slot_work *ret_work,
		      struct store_error *reterr)
{
	struct work work = { .target = target, .change = change, .reterr = reterr };
	enum trust_origin origin = TRUST_UNKNOWN_WRITER;
	size_t count = 0;
	int r = store_key_record(target->store, dek_id, &work.record, &origin);

	work.record.dek = *dek_id;
	if (r == 0)
		r = store_count_key_records(target->store, dek_id, &count);
	if (r < 0) {
		fail_record(&work, r);
		key_record_free(&work.record);
		return r;
	}
	*ret_work = slot_change_work(change, &work.record, count);
	/* Older records of a writer who is not trusted here are not ours to remove. */
	if (*ret_work == SLOT_WORK_FINISH && !trust_origin_is_trusted(origin))
		*ret_work = SLOT_WORK_NONE;
	if (*ret_work == SLOT_WORK_CHANGE)
		r = change_record(&work);
	else if (*ret_work == SLOT_WORK_FINISH)
		r = finish_record(&work);
	dek_put(work.dek);
	key_record_free(&work.record);
	return r;
}
