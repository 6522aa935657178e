/* SPDX-License-Identifier: Apache-2.0 */
/* A key record: the wrapped copies of one DEK.  Format: meta/FORMAT.md, section 9.2. */
#ifndef SNAPCRYPT_META_RECORDS_KEY_RECORD_H
#define SNAPCRYPT_META_RECORDS_KEY_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define KEY_ID_SIZE         512 /* canonical Encryption Key ID with its NUL */
#define KEY_PROVIDER_SIZE   32
#define KEY_SLOTS_MAX       16
#define SLOT_WRAPPED_MAX    8192
#define SLOT_CAPSULE_SIZE   48
#define SLOT_PAIRS_MAX      16
#define DEK_COMMITMENT_SIZE 32

enum slot_role { SLOT_PRIMARY, SLOT_ALTERNATE, SLOT_RECOVERY };

/* A small text map: a provider's parameters, or which credentials were used (never a secret). */
struct text_pair {
	char name[64];
	char value[512];
};
struct text_pairs {
	size_t count;
	struct text_pair pairs[SLOT_PAIRS_MAX];
};

/*
 * One wrapped copy.  `header` is the exact JSON text that the capsule is bound to: written by slot_encode_header(),
 * kept as read by key_record_decode().
 */
struct slot {
	struct uuid volume;
	struct uuid snapshot;
	struct uuid dek;
	struct uuid slot;
	enum slot_role role;
	char provider[KEY_PROVIDER_SIZE];
	char key_id[KEY_ID_SIZE];
	char key_alias[KEY_ID_SIZE];
	uint8_t wrapped[SLOT_WRAPPED_MAX];
	size_t wrapped_size;
	struct text_pairs parameters;
	struct text_pairs access;
	char *header;
	uint8_t capsule[SLOT_CAPSULE_SIZE];
};

struct key_record {
	uint64_t generation;
	struct uuid volume;
	struct uuid snapshot;
	struct uuid dek;
	int64_t created_s;
	int64_t period_start_s; /* streams; 0: none */
	uint8_t commitment[DEK_COMMITMENT_SIZE];
	struct slot *slots; /* owned */
	size_t slot_count;
	char *mac_input; /* line 1 up to the MAC, as read or encoded; owned */
	uint8_t mac[32];
};

void key_record_free(struct key_record *record);
MUST_CHECK int key_record_copy(const struct key_record *record, struct key_record *ret_copy);

/* Set slot->header from its other members. */
MUST_CHECK int slot_encode_header(struct slot *slot);

/* Set record->mac_input from the other members; every slot has its header and capsule.  Then MAC it, then encode. */
MUST_CHECK int key_record_encode_mac_input(struct key_record *record);

/* Line 1, complete with the MAC; free() it. */
MUST_CHECK int key_record_encode(const struct key_record *record, char **ret_line);

/*
 * Read line 1.  -EBADMSG: malformed, ids in a slot header that differ from the record's, or not exactly one primary;
 * -ENOTSUP: a format or critical member that this version does not know.
 */
MUST_CHECK int key_record_decode(struct bytes line, struct key_record *ret_record);

/* Take a slot out; never the primary. */
void key_record_remove_slot(struct key_record *record, size_t index);

/* The one primary. */
const struct slot *key_record_primary(const struct key_record *record);

const char *slot_role_name(enum slot_role role);
const char *text_pairs_get(const struct text_pairs *pairs, const char *name);
MUST_CHECK int text_pairs_set(struct text_pairs *pairs, const char *name, const char *value);

#endif
