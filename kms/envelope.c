/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of a key record. */
#include "kms/envelope.h"

#include <errno.h>

#include "kms/crypto/capsule.h"

int envelope_seal_slot(const struct dek *dek, const struct secret *secret, struct slot *slot)
{
	int r = slot_encode_header(slot);

	if (r < 0)
		return r;
	return capsule_seal(dek, secret_bytes(secret), bytes_from_text(slot->header),
			    slot->capsule);
}

int envelope_open(const struct key_record *record, const struct slot *slot,
		  const struct secret *secret, struct dek **ret_dek, struct kms_error *reterr)
{
	const struct capsule_owner owner = { .volume = record->volume, .dek = record->dek };
	const struct bytes table = bytes_from_text(record->mac_input);
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	int r;

	r = capsule_open(secret_bytes(secret), bytes_from_text(slot->header), slot->capsule, &owner,
			 &dek);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN, "the slot of %s is not genuine",
				slot->key_id);
	/* Without the commitment one record could open to different keys through different slots. */
	r = dek_check_commitment(dek, record->commitment);
	if (r < 0)
		return kms_fail(reterr, r, KEY_STATE_UNKNOWN,
				"the slot of %s holds another data key", slot->key_id);
	r = dek_mac_verify(dek, DEK_LABEL_SLOTS, &table, 1, record->mac);
	if (r < 0)
		return kms_fail(reterr, -EKEYREJECTED, KEY_STATE_UNKNOWN,
				"the slot table was changed by somebody without the data key");
	*ret_dek = TAKE(dek);
	return 0;
}
