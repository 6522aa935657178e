/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing the slots of stored data keys: keys add, remove and rewrap.
 *
 * One data key at a time, and each in an order that leaves it openable whenever the process dies: the new slot is made and opened,
 * the new key record is written and read back, and only then are older ones removed.  Who runs the same change again goes on
 * where it ended.  Data files are never touched.
 */
#ifndef SNAPCRYPT_FS_CONTROL_SLOT_CHANGE_H
#define SNAPCRYPT_FS_CONTROL_SLOT_CHANGE_H

#include "fs/control/changes.h"

enum slot_verb { VERB_ADD, VERB_REMOVE, VERB_REWRAP };

/*
 *   uri           add, rewrap: KEK of the new slot; recovery:///FILE.pem may be added
 *   key_id        its canonical Encryption Key ID
 *   from          remove: slots of this Encryption Key ID; rewrap: only those, in whatever role; "": the primary
 *   recovery_key  file with the private key that opens the data keys; NULL: as always
 */
struct slot_change {
	enum slot_verb verb;
	char uri[KEY_ID_SIZE];
	char key_id[KEY_ID_SIZE];
	char from[KEY_ID_SIZE];
	const char *recovery_key;
};

/*
 * Learn what the KEKs are called.  URI and FROM (an id or a URI) as they were given, "" for none.  The new KEK is tried, and
 * remembered on this host.
 */
MUST_CHECK int slot_change_prepare(const struct change_target *target, struct slot_change *change,
				   const char *uri, const char *from, struct store_error *reterr);

/* Allow the new KEK to be contacted, for a change that somebody else has prepared. */
MUST_CHECK int slot_change_allow(const struct change_target *target,
				 const struct slot_change *change, struct store_error *reterr);

/* What is left to do for a data key.  FINISH: older records are there still. */
enum slot_work { SLOT_WORK_NONE, SLOT_WORK_FINISH, SLOT_WORK_CHANGE };
enum slot_work slot_change_work(const struct slot_change *change, const struct key_record *record,
				size_t generation_count);

/* Is the slot at INDEX one that is replaced or removed? */
bool slot_change_touches(const struct slot_change *change, const struct key_record *record,
			 size_t index);

/* Do that work for one data key.  RET_WORK: what it was. */
MUST_CHECK int slot_change_apply(const struct change_target *target,
				 const struct slot_change *change, const struct uuid *dek_id,
				 enum slot_work *ret_work, struct store_error *reterr);

/*
 * The same change of the settings, for new data keys.  RET_IS_CONFIGURED: the configuration says which they get, so nothing was
 * changed.
 */
MUST_CHECK int slot_change_settings(const struct change_target *target,
				    const struct slot_change *change, bool *ret_is_configured,
				    struct store_error *reterr);

/* Write the index attributes of all snapshots again. */
MUST_CHECK int slot_change_finish(const struct change_target *target, struct store_error *reterr);

#endif
