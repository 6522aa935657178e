/* SPDX-License-Identifier: Apache-2.0 */
/* Other slots for a DEK that is open. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kms/envelope.h"
#include "kms/kms_internal.h"

static int add_place(struct key_record *record)
{
	struct slot *slots;

	if (record->slot_count == KEY_SLOTS_MAX)
		return -ENOSPC;
	slots = realloc(record->slots, (record->slot_count + 1) * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	record->slots = slots;
	slots[record->slot_count++] = (struct slot){ 0 };
	return 0;
}

/* Fill the slot at INDEX anew, and see that it opens. */
static int fill_slot(struct kms *kms, struct kek *kek, const struct dek *dek, size_t index,
		     enum slot_role role, struct key_record *record, struct kms_error *reterr)
{
	CLEANUP(dek_cleanup) struct dek *opened = NULL;
	struct slot *slot = &record->slots[index];
	int r;

	free(slot->header);
	*slot = (struct slot){ .volume = record->volume,
			       .snapshot = record->snapshot,
			       .dek = record->dek,
			       .role = role };
	r = kms_make_slot(kms, kek, 0, dek, slot, reterr);
	if (r < 0)
		return r;
	record->generation++;
	r = kms_authenticate_record(dek, record);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "making a key record: %s",
				strerror(-r));
	/* The private key of a recovery slot is offline. */
	return role == SLOT_RECOVERY ? 0 : kms_open_slot(kms, kek, record, slot, &opened, reterr);
}

int kms_add_slot(struct kms *kms, const struct dek *dek, const char *uri, enum slot_role role,
		 struct key_record *record, struct kms_error *reterr)
{
	struct kek *kek = kek_required(kms, uri, reterr);
	int r;

	if (!kek)
		return -EINVAL;
	r = add_place(record);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "no room for another slot: %s",
				strerror(-r));
	return fill_slot(kms, kek, dek, record->slot_count - 1, role, record, reterr);
}

int kms_rewrap_slot(struct kms *kms, const struct dek *dek, const char *uri, size_t index,
		    struct key_record *record, struct kms_error *reterr)
{
	struct kek *kek = kek_required(kms, uri, reterr);

	return kek ? fill_slot(kms, kek, dek, index, record->slots[index].role, record, reterr)
		   : -EINVAL;
}

int kms_check_record(const struct dek *dek, const struct key_record *record)
{
	const struct bytes table = bytes_from_text(record->mac_input);
	int r = dek_check_commitment(dek, record->commitment);

	return r < 0 ? r : dek_mac_verify(dek, DEK_LABEL_SLOTS, &table, 1, record->mac);
}

int kms_check_slot(struct kms *kms, const struct key_record *record, size_t index,
		   struct kms_error *reterr)
{
	const struct slot *slot = &record->slots[index];
	struct kek *kek = kek_of_slot(kms, slot);
	CLEANUP(dek_cleanup) struct dek *dek = NULL;

	if (!kek)
		return kms_fail(reterr, -ENOKEY, KEY_STATE_UNKNOWN,
				"nothing on this host names key %s", slot->key_id);
	return kms_open_slot(kms, kek, record, slot, &dek, reterr);
}
