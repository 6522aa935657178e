/* SPDX-License-Identifier: Apache-2.0 */
/* Deleting, labels and rules: changes that a command makes itself, or the mount for it. */
#ifndef SNAPCRYPT_FS_CONTROL_RETENTION_CHANGE_H
#define SNAPCRYPT_FS_CONTROL_RETENTION_CHANGE_H

#include "fs/control/changes.h"
#include "fs/control/policy.h"
#include "fs/control/requests.h"
#include "fs/store/labels.h"
#include "fs/store/removal.h"

#define DELETE_REQUEST "snapshot delete"
#define SWEEP_REQUEST  "sweep"
#define LABEL_REQUEST  "snapshot label"
#define POLICY_REQUEST "policy set"
#define FORGET_REQUEST "keys forget"

enum label_action { LABEL_TAG, LABEL_UNTAG, LABEL_HOLD, LABEL_RELEASE, LABEL_KEEP };

/*
 *   text          tag, or name of a hold
 *   reason        of a hold; "" where none is given
 *   keep_until_s  for LABEL_KEEP
 */
struct label_change {
	enum label_action action;
	const char *text;
	const char *reason;
	int64_t keep_until_s;
};

/*
 * One deletion.
 *
 *   snapshot   name, UUID, latest ...; prune gives the UUID
 *   by_rules   prune decided it, so what only forbids people does not count
 */
struct delete_change {
	const char *snapshot;
	const char *reason;
	bool shreds;
	bool by_rules;
};

MUST_CHECK int change_labels(const struct change_target *target, const char *snapshot,
			     const struct label_change *change, struct store_error *reterr);

/* RET_SHREDDED: free() it. */
MUST_CHECK int change_delete(const struct change_target *target, const struct delete_change *change,
			     struct uuid **ret_shredded, size_t *ret_count,
			     struct store_error *reterr);

/* Do the rules or a lock forbid people to delete it now?  -EPERM, exit 5. */
MUST_CHECK int change_check_lock(struct store *store, const struct snapshot *snapshot,
				 struct store_error *reterr);

/* Store TEXT (as policy_document() has it) as the volume's rules. */
MUST_CHECK int change_policy(const struct change_target *target, const char *text,
			     struct store_error *reterr);

/* The mount's side of each. */
void retention_run_delete(const struct control_options *options, const struct json_object *request,
			  struct json_object *reply);
void retention_run_sweep(const struct control_options *options, const struct json_object *request,
			 struct json_object *reply);
void retention_run_label(const struct control_options *options, const struct json_object *request,
			 struct json_object *reply);
void retention_run_policy(const struct control_options *options, const struct json_object *request,
			  struct json_object *reply);
void retention_run_forget(const struct control_options *options, const struct json_object *request,
			  struct json_object *reply);

/* What a sweep removed, as part of a reply or an output: "data_keys", "encryption_key_ids", "markers". */
void sweep_document(const struct sweep *sweep, struct json_object *object);

/* "tags" (name to value, "" where there is none), "holds", "expires". */
void labels_document(const struct labels_record *labels, struct json_object *object);

const char *label_action_name(enum label_action action);

#endif
