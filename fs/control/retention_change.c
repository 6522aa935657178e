/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting snapshots, changing their labels, setting the rules. */
#include "fs/control/retention_change.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meta/exit_code.h"

static int change_audit(const struct change_target *target, enum audit_operation operation,
			const struct uuid *snapshot, const struct uuid *data_key,
			const char *detail, struct store_error *reterr)
{
	const int r = kms_audit(target->kms, &(struct audit_entry){
						     .operation = operation,
						     .volume = &store_volume(target->store)->volume,
						     .snapshot = snapshot,
						     .data_key = data_key,
						     .detail = detail,
					     });

	return r < 0 ? store_fail(reterr, r, EXIT_FAILED,
				  "the audit log cannot be written, and audit_on_failure is block")
		     : 0;
}

/* ---- Labels -------------------------------------------------------------------------------------- */

const char *label_action_name(enum label_action action)
{
	static const char *const names[] = { "tag", "untag", "hold", "release", "keep" };

	return names[action];
}

void labels_document(const struct labels_record *labels, struct json_object *object)
{
	struct json_object *tags = document_new_object();
	struct json_object *holds = document_new_array();

	for (size_t i = 0; i < labels->tag_count; i++) {
		char name[LABEL_SIZE_MAX];
		char *equals = NULL;

		snprintf(name, sizeof(name), "%s", labels->tags[i]);
		equals = strchr(name, '=');
		if (equals != NULL)
			*equals = '\0';
		document_add_text(tags, name, equals == NULL ? "" : equals + 1);
	}
	for (size_t i = 0; i < labels->hold_count; i++) {
		struct json_object *hold = document_new_object();

		document_add_text(hold, "name", labels->holds[i].name);
		document_add_time(hold, "since", labels->holds[i].since_s);
		document_add_text(hold, "reason",
				  labels->holds[i].reason[0] == '\0' ? NULL
								     : labels->holds[i].reason);
		document_append(holds, hold);
	}
	document_add(object, "tags", tags);
	document_add(object, "holds", holds);
	document_add_time(object, "expires", labels->keep_until_s);
}

static int apply_label(struct labels_record *record, const struct label_change *change)
{
	switch (change->action) {
	case LABEL_TAG:
		/* In place of one of the same name, if there is one. */
		(void)!labels_record_remove_tag(record, change->text);
		return labels_record_add_tag(record, change->text);
	case LABEL_UNTAG:
		return labels_record_remove_tag(record, change->text);
	case LABEL_HOLD:
		return labels_record_add_hold(record, change->text, change->reason, time(NULL));
	case LABEL_RELEASE:
		return labels_record_remove_hold(record, change->text);
	case LABEL_KEEP:
		record->keep_until_s = change->keep_until_s;
		return 0;
	}
	return -EINVAL;
}

static int label_fail(const char *name, const struct label_change *change, int error,
		      struct store_error *reterr)
{
	const bool is_hold = change->action == LABEL_HOLD || change->action == LABEL_RELEASE;
	const char *kind = is_hold ? "hold" : "tag";

	if (error == -ENOENT)
		return store_fail(reterr, error, EXIT_FAILED, "%s: there is no %s '%s'", name, kind,
				  change->text);
	if (error == -EEXIST)
		return store_fail(reterr, error, EXIT_FAILED, "%s: the %s '%s' is there already",
				  name, kind, change->text);
	if (error == -E2BIG || error == -EINVAL)
		return store_fail(reterr, error, EXIT_USAGE, "%s: %s '%s': %s", name, kind,
				  change->text,
				  error == -E2BIG ? "there are too many"
						  : "empty, too long, or with control characters");
	return store_fail(reterr, error, (enum exit_code)exit_code_from_errno(error),
			  "%s: labels: %s", name,
			  error == -EBADMSG ? "those of the volume are not authentic or not the "
					      "newest; see 'snapcrypt verify'"
					    : strerror(-error));
}

int change_labels(const struct change_target *target, const char *text,
		  const struct label_change *change, struct store_error *reterr)
{
	struct snapshot *snapshot = NULL;
	struct labels_record record = { 0 };
	int r = change_find_snapshot(target->store, text, &snapshot, NULL, reterr);

	if (r < 0)
		return r;
	if (snapshot_state(snapshot) == SNAPSHOT_FOREIGN) {
		snapshot_put(snapshot);
		return store_fail(reterr, -EINVAL, EXIT_FAILED,
				  "%s has no valid identity: it is no snapshot", text);
	}
	r = labels_load(target->store, snapshot_id(snapshot), &record);
	if (r == 0)
		r = apply_label(&record, change);
	if (r == 0)
		r = labels_publish(target->store, &record);
	if (r < 0)
		label_fail(snapshot_name(snapshot), change, r, reterr);
	labels_record_free(&record);
	snapshot_put(snapshot);
	return r;
}

/* ---- Deleting ------------------------------------------------------------------------------------ */

int change_check_lock(struct store *store, const struct snapshot *snapshot,
		      struct store_error *reterr)
{
	CLEANUP(policy_cleanup) struct policy policy = { 0 };
	int r = policy_of_store(store, &policy, reterr);

	if (r < 0)
		return r;
	if (policy.rules.lock == RETENTION_LOCK_COMPLIANCE) {
		store_fail(reterr, -EPERM, EXIT_POLICY,
			   "%s: the volume's rules are locked (compliance): only prune deletes",
			   snapshot_name(snapshot));
		store_advise(reterr, "see 'snapcrypt policy show'");
		return -EPERM;
	}
	if (policy.rules.lock_min_s > 0 &&
	    snapshot_created_s(snapshot) > time(NULL) - policy.rules.lock_min_s) {
		store_fail(reterr, -EPERM, EXIT_POLICY, "%s is younger than policy_lock_min",
			   snapshot_name(snapshot));
		store_advise(reterr, "see 'snapcrypt policy show'");
		return -EPERM;
	}
	return 0;
}

static int delete_found(const struct change_target *target, struct snapshot *snapshot,
			const struct delete_change *change, struct uuid **deks, size_t *count,
			struct store_error *reterr)
{
	const struct removal removal = { .reason = change->reason, .shreds = change->shreds };
	const struct uuid id = *snapshot_id(snapshot);
	int r = change->by_rules ? 0 : change_check_lock(target->store, snapshot, reterr);

	if (r == 0)
		r = snapshot_may_remove(snapshot, &removal, reterr);
	if (r == 0)
		r = change_audit(target, AUDIT_DELETE, &id, NULL, change->reason, reterr);
	if (r == 0)
		r = snapshot_remove(snapshot, &removal, deks, count, reterr);
	for (size_t i = 0; r == 0 && i < *count; i++)
		r = change_audit(target, AUDIT_SHRED, &id, &(*deks)[i], change->reason, reterr);
	return r;
}

int change_delete(const struct change_target *target, const struct delete_change *change,
		  struct uuid **ret_shredded, size_t *ret_count, struct store_error *reterr)
{
	struct snapshot *snapshot = NULL;
	struct uuid *deks = NULL;
	size_t count = 0;
	int r = change_find_snapshot(target->store, change->snapshot, &snapshot, NULL, reterr);

	if (r < 0)
		return r;
	r = delete_found(target, snapshot, change, &deks, &count, reterr);
	if (r == 0 && target->removed != NULL)
		target->removed(target->arg, snapshot_name(snapshot));
	snapshot_put(snapshot);
	if (r < 0) {
		free(deks);
		return r;
	}
	*ret_shredded = deks;
	*ret_count = count;
	return 0;
}

/* ---- Rules --------------------------------------------------------------------------------------- */

int change_policy(const struct change_target *target, const char *text, struct store_error *reterr)
{
	CLEANUP(policy_cleanup) struct policy before = { 0 };
	CLEANUP(policy_cleanup) struct policy after = { 0 };
	struct volume_record record = { 0 };
	const char *weakened = NULL;
	int r = policy_of_store(target->store, &before, reterr);

	if (r < 0)
		return r;
	if (policy_from_text(text, &after) < 0)
		return store_fail(reterr, -EINVAL, EXIT_USAGE, "these are no rules of retention");
	weakened = retention_weakened(&before.rules, &after.rules);
	if (weakened != NULL && before.rules.lock == RETENTION_LOCK_COMPLIANCE) {
		store_fail(reterr, -EPERM, EXIT_POLICY,
			   "%s would be weaker than in the volume, whose rules are locked "
			   "(compliance)",
			   weakened);
		store_advise(reterr, "rules may only become stronger");
		return -EPERM;
	}
	r = change_audit(target, AUDIT_POLICY, NULL, NULL, text, reterr);
	if (r < 0)
		return r;
	r = store_copy_volume(target->store, &record);
	if (r == 0) {
		free(record.policy);
		record.policy = strdup(text);
		r = record.policy == NULL ? -ENOMEM
					  : store_publish_volume_record(target->store, &record);
	}
	volume_record_free(&record);
	return r < 0 ? store_fail(reterr, r, (enum exit_code)exit_code_from_errno(r),
				  "settings of the volume were not written: %s", strerror(-r))
		     : 0;
}
