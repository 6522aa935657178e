/* SPDX-License-Identifier: Apache-2.0 */
/* Opening DEKs: which slot may do it, and what an answer of its key service means. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kms/envelope.h"
#include "kms/kms_internal.h"

/* Who wrote the slot, and who asks: often two different people. */
static void explain_access(const struct kek *kek, const struct slot *slot, struct kms_error *error)
{
	const char *principal = text_pairs_get(&slot->access, "principal");
	const char *section = text_pairs_get(&slot->access, "section");
	const size_t used = strlen(error->text);

	if (!principal || strstr(error->text, "written as "))
		return;
	(void)snprintf(error->text + used, sizeof(error->text) - used,
		       "; the slot was written as %.120s%s%.40s%s%s%.40s%s", principal,
		       section ? " ([key \"" : "", section ? section : "", section ? "\"])" : "",
		       !kek           ? ""
		       : kek->section ? ", this host asks as [key \""
				      : ", this host asks with the vendor's own chain",
		       kek && kek->section ? kek->section : "", kek && kek->section ? "\"]" : "");
}

static int open_slot(struct kms *kms, struct kek *kek, const struct key_record *record,
		     const struct slot *slot, const struct asking *asking, struct dek **ret_dek,
		     struct kms_error *error)
{
	const struct wrap_context context = { .volume = record->volume,
					      .snapshot = record->snapshot };
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	const struct kek_request request = { .operation = KMS_UNWRAP,
					     .context = &context,
					     .slot = slot,
					     .ret_secret = &secret,
					     .is_cancelled = asking ? asking->is_cancelled : NULL,
					     .ret_is_absent = asking ? asking->ret_is_absent
								     : NULL };
	int r;

	r = kek_ask(kms, kek, &request, error);
	if (r == 0 && slot->role != SLOT_RECOVERY && kms->options.said_yes)
		kms->options.said_yes(kms->options.memory_arg, slot->key_id);
	if (r == 0 && secret_bytes(secret).size != SLOT_SECRET_SIZE)
		r = kms_fail(error, -EKEYREJECTED, KEY_STATE_UNKNOWN,
			     "%s unwrapped to something else", slot->key_id);
	if (r == 0)
		r = envelope_open(record, slot, secret, ret_dek, error);
	error->code = r;
	if (r == -EACCES || r == -EKEYEXPIRED)
		explain_access(kek, slot, error);
	return r;
}

int kms_ask_slot(struct kms *kms, struct kek *kek, const struct key_record *record,
		 const struct slot *slot, const struct asking *asking, struct dek **ret_dek,
		 struct kms_error *reterr)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct kms_error error = { 0 };
	int r;

	(void)!open_slot(kms, kek, record, slot, asking, &dek, &error);
	r = kms_audit_request(kms,
			      slot->role == SLOT_RECOVERY ? AUDIT_RECOVERY_KEY_USED : AUDIT_UNWRAP,
			      slot, &error);
	if (r == 0)
		*ret_dek = TAKE(dek);
	else if (reterr)
		*reterr = error;
	return r;
}

int kms_open_slot(struct kms *kms, struct kek *kek, const struct key_record *record,
		  const struct slot *slot, struct dek **ret_dek, struct kms_error *reterr)
{
	return kms_ask_slot(kms, kek, record, slot, NULL, ret_dek, reterr);
}

/* Named by the operator, so it may override a primary that is lost, disabled or deleted. */
static int recover(struct kms *kms, struct kek *kek, const struct key_record *record,
		   struct dek **ret_dek, size_t *ret_slot_index, struct kms_error *reterr)
{
	for (size_t i = 0; i < record->slot_count; i++) {
		const struct slot *slot = &record->slots[i];
		int r;

		if (slot->role != SLOT_RECOVERY || !kek->provider->owns(kek->state, slot))
			continue;
		r = kms_open_slot(kms, kek, record, slot, ret_dek, reterr);
		if (r == 0 && ret_slot_index)
			*ret_slot_index = i;
		return r;
	}
	return kms_fail(reterr, -ENOKEY, KEY_STATE_UNKNOWN,
			"this data key has no slot of the recovery key");
}

int kms_recover_dek(struct kms *kms, const char *recovery_key, const struct key_record *record,
		    struct dek **ret_dek, struct kms_error *reterr)
{
	const struct kms_setting setting = { "private_key_file", recovery_key };
	const struct kms_config config = {
		.uri = "recovery:", .settings = &setting, .setting_count = 1
	};
	struct kek kek = { .provider = kms_provider_by_name("recovery") };
	int r;

	r = kek.provider->open(&config, &kek.state, reterr);
	if (r < 0)
		return r;
	r = recover(kms, &kek, record, ret_dek, NULL, reterr);
	kek.provider->close(kek.state);
	return r;
}

static int fail_unnamed(const struct slot *primary, struct kms_error *reterr)
{
	struct kms_error error = { 0 };
	int r = kms_fail(&error, -ENOKEY, KEY_STATE_UNKNOWN, "nothing on this host names key %s",
			 primary->key_id);

	explain_access(NULL, primary, &error);
	kms_advise(&error, !strcmp(primary->provider, "keyring")
				   ? "give the file with --keyring FILE"
				   : "give it with --key URI, or in a [key] section");
	if (reterr)
		*reterr = error;
	return r;
}

int kms_unwrap_dek(struct kms *kms, const struct key_record *record, struct dek **ret_dek,
		   size_t *ret_slot_index, struct kms_error *reterr)
{
	const struct slot *primary = key_record_primary(record);
	struct kms_error error = { 0 };
	struct kek *kek;
	size_t index = (size_t)(primary - record->slots);
	int r;

	if (kms->recovery)
		return recover(kms, kms->recovery, record, ret_dek, ret_slot_index, reterr);
	if (kms->options.is_write_only)
		return kms_fail(reterr, -EACCES, KEY_STATE_DENIED,
				"this host is write-only; it may not open stored data keys");
	kek = kek_of_slot(kms, primary);
	if (!kek)
		return fail_unnamed(primary, reterr);
	r = kms_has_alternates(kms, record)
		    ? kms_open_hedged(kms, kek, record, ret_dek, &index, &error)
		    : kms_open_slot(kms, kek, record, primary, ret_dek, &error);
	if (r == 0 && ret_slot_index)
		*ret_slot_index = index;
	if (reterr && (r < 0 || &record->slots[index] != primary))
		*reterr = error;
	return r;
}

/* A host that may not unwrap learns from wrapping; some services wrap under disabled keys, but say so where they may be asked. */
static int probe_wrapping(struct kms *kms, struct kek *kek, const struct slot *slot,
			  struct kms_error *error)
{
	struct kms_key_info info = { 0 };
	struct kms_error ignored = { 0 };
	int r = kms_try_wrapping(kms, kek, slot, error);

	if (r < 0 ||
	    kek_ask(kms, kek, &(struct kek_request){ .operation = KMS_DESCRIBE, .ret_info = &info },
		    &ignored) < 0)
		return r;
	if (!key_state_is_definite_no(info.state))
		return 0;
	return kms_fail(error, key_state_errno(info.state), info.state, "key %s is %s",
			slot->key_id, key_state_name(info.state));
}

int kms_probe(struct kms *kms, const struct key_record *record, const atomic_bool *is_cancelled,
	      struct kms_error *reterr)
{
	const struct wrap_context context = { .volume = record->volume,
					      .snapshot = record->snapshot };
	const struct slot *primary = key_record_primary(record);
	struct kek *kek = kek_of_slot(kms, primary);
	CLEANUP(secret_cleanup) struct secret *secret = NULL;
	struct kms_error error = { 0 };
	int r;

	if (!kek)
		return kms_fail(reterr, -ENOKEY, KEY_STATE_UNKNOWN,
				"nothing on this host names key %s", primary->key_id);
	r = kms->options.is_write_only
		    ? probe_wrapping(kms, kek, primary, &error)
		    : kek_ask(kms, kek,
			      &(struct kek_request){ .operation = kek->provider->probe ? KMS_PROBE
										       : KMS_UNWRAP,
						     .context = &context,
						     .slot = primary,
						     .ret_secret = &secret,
						     .is_cancelled = is_cancelled },
			      &error);
	if (r < 0)
		r = kms_audit_request(kms, AUDIT_PROBE_FAILED, primary, &error);
	if (r < 0 && reterr)
		*reterr = error;
	return r;
}
