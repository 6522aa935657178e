/* SPDX-License-Identifier: Apache-2.0 */
/* A volume record: the settings of a volume.  Format: meta/FORMAT.md, section 9.1. */
#ifndef SNAPCRYPT_META_RECORDS_VOLUME_RECORD_H
#define SNAPCRYPT_META_RECORDS_VOLUME_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"
#include "meta/records/key_record.h"
#include "meta/uuid.h"

#define VOLUME_HOST_SIZE         256
#define VOLUME_RECOVERY_KEYS_MAX (KEY_SLOTS_MAX - 1)
#define VOLUME_ALTERNATES_MAX    (KEY_SLOTS_MAX - 1)
#define VOLUME_PEM_SIZE_MAX      16384
#define VOLUME_PLAINTEXT_MAX     4096
#define VOLUME_DEPTH_MAX         8

enum delete_sealed { DELETE_SEALED_COMMAND, DELETE_SEALED_MOUNT };
enum seal_on { SEAL_ON_COMMAND, SEAL_ON_RENAME, SEAL_ON_UNMOUNT };

/* A public key for recovery slots.  Both owned. */
struct recovery_key {
	char *id; /* canonical Encryption Key ID, recovery:... */
	char *pem;
};

/* A KEK of alternate slots.  Both owned. */
struct alternate_key {
	char *id; /* canonical Encryption Key ID; "" where it is not known */
	char *uri;
};

/* A directory served as it is.  NAME: its path below the root; owned. */
struct plaintext_snapshot {
	struct uuid id;
	char *name;
};

struct volume_record {
	uint64_t generation;
	struct uuid volume;
	int64_t created_s;
	uint32_t block_size;
	uint8_t algorithm; /* meta/FORMAT.md, "Algorithms" */
	bool has_encrypted_names;
	unsigned snapshot_depth;
	bool is_encrypted;
	char default_key[KEY_ID_SIZE];    /* URI; "" when not encrypted */
	char default_key_id[KEY_ID_SIZE]; /* canonical id */
	struct alternate_key *alternate_keys;
	size_t alternate_key_count;
	struct recovery_key *recovery_keys;
	size_t recovery_key_count;
	struct plaintext_snapshot *plaintext_snapshots;
	size_t plaintext_snapshot_count;
	enum delete_sealed delete_sealed;
	enum seal_on seal_on;
	char *policy; /* JSON object as text, or NULL; owned */
	char host[VOLUME_HOST_SIZE];
};

void volume_record_free(struct volume_record *record); /* what it owns, not the struct */
MUST_CHECK int volume_record_copy(const struct volume_record *record,
				  struct volume_record *ret_copy);

/* Line 1; free() it.  -EINVAL: a member is out of its range; -ENOMEM. */
MUST_CHECK int volume_record_encode(const struct volume_record *record, char **ret_line);

/* Read line 1.  -EBADMSG: malformed; -ENOTSUP: a format or critical member of a newer version. */
MUST_CHECK int volume_record_decode(struct bytes line, struct volume_record *ret_record);

MUST_CHECK int volume_record_add_recovery_key(struct volume_record *record, const char *id,
					      const char *pem);
/* One with that URI takes the place of the other. */
MUST_CHECK int volume_record_add_alternate(struct volume_record *record, const char *id,
					   const char *uri);
void volume_record_remove_alternate(struct volume_record *record, size_t index);
void volume_record_remove_recovery_key(struct volume_record *record, size_t index);
MUST_CHECK int volume_record_add_plaintext(struct volume_record *record, const struct uuid *id,
					   const char *name);

/* Is the directory NAME with identity ID served as it is? */
bool volume_record_lists_plaintext(const struct volume_record *record, const struct uuid *id,
				   const char *name);

/* One bit for each setting that decides where plaintext goes or how it is stored. */
enum volume_field {
	VOLUME_FIELD_VOLUME = 1 << 0,
	VOLUME_FIELD_ENCRYPTION = 1 << 1,
	VOLUME_FIELD_DEFAULT_KEY = 1 << 2,
	VOLUME_FIELD_RECOVERY_KEYS = 1 << 3,
	VOLUME_FIELD_NAMES = 1 << 4,
	VOLUME_FIELD_PLAINTEXT = 1 << 5,
	VOLUME_FIELD_DEPTH = 1 << 6,
	VOLUME_FIELD_BLOCK_SIZE = 1 << 7,
	VOLUME_FIELD_ALGORITHM = 1 << 8,
	VOLUME_FIELD_DELETE_SEALED = 1 << 9,
	VOLUME_FIELD_SEAL_ON = 1 << 10,
	VOLUME_FIELD_POLICY = 1 << 11,
	VOLUME_FIELD_ALTERNATE_KEYS = 1 << 12,
};
#define VOLUME_FIELDS_ALL ((1U << 13) - 1)

/* The settings in which two records differ (generation, host and time are none). */
unsigned volume_record_differences(const struct volume_record *a, const struct volume_record *b);

/* The name of one setting as in the record ("default_key", ...). */
const char *volume_field_name(enum volume_field field);

/* The value of one setting as text for messages, cut to SIZE. */
void volume_field_text(const struct volume_record *record, enum volume_field field, char *text,
		       size_t size);

const char *delete_sealed_name(enum delete_sealed value);
const char *seal_on_name(enum seal_on value);
/* "aes-256-gcm", "chacha20-poly1305"; NULL for others. */
const char *volume_algorithm_name(uint8_t algorithm);
/* 0 for others. */
uint8_t volume_algorithm_by_name(const char *name);

#endif
