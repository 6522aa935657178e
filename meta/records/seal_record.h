/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seal records and tombstones: the chain of a volume's finished and deleted snapshots.  Format: meta/FORMAT.md, section
 * 9.4.
 */
#ifndef SNAPCRYPT_META_RECORDS_SEAL_RECORD_H
#define SNAPCRYPT_META_RECORDS_SEAL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"
#include "meta/uuid.h"

#define SEAL_OBJECT_ID_SIZE  16
#define SEAL_CONTENT_ID_SIZE 24
#define SEAL_ROOT_SIZE       32
#define SEAL_DEKS_MAX        16384

struct seal_counts {
	uint64_t files;
	uint64_t directories;
	uint64_t symlinks;
	uint64_t special;
	uint64_t bytes;
	uint64_t blocks;
};

/* The manifest file that a seal record names. */
struct seal_manifest {
	uint8_t object_id[SEAL_OBJECT_ID_SIZE];
	uint8_t content_id[SEAL_CONTENT_ID_SIZE];
	uint64_t size;
	uint8_t sha256[32];
};

struct seal_record {
	uint64_t sequence;
	struct uuid volume;
	struct uuid snapshot;
	char *name; /* owned */
	int64_t created_s;
	int64_t sealed_s;
	struct seal_manifest manifest;
	struct uuid dek;
	struct uuid *deks; /* owned */
	size_t dek_count;
	struct seal_counts counts;
	uint64_t roots_remembered;
	uint64_t roots_reread;
	bool has_previous; /* false only at sequence 1 */
	uint8_t previous[SEAL_ROOT_SIZE];
	char *mac_input; /* line 1 up to the MAC; owned */
	uint8_t mac[32];
};

struct tombstone {
	uint64_t sequence;
	struct uuid volume;
	struct uuid snapshot;
	char *name; /* owned */
	int64_t deleted_s;
	char *reason;          /* owned */
	uint64_t seal;         /* 0: the snapshot was open */
	struct uuid *shredded; /* owned */
	size_t shredded_count;
	bool has_previous;
	uint8_t previous[SEAL_ROOT_SIZE];
};

void seal_record_free(struct seal_record *record);
void tombstone_free(struct tombstone *tombstone);

/* Set record->mac_input from the other members.  Then MAC it, then encode. */
MUST_CHECK int seal_record_encode_mac_input(struct seal_record *record);
MUST_CHECK int seal_record_encode(const struct seal_record *record, char **ret_line);
MUST_CHECK int seal_record_decode(struct bytes line, struct seal_record *ret_record);

MUST_CHECK int tombstone_encode(const struct tombstone *tombstone, char **ret_line);
MUST_CHECK int tombstone_decode(struct bytes line, struct tombstone *ret_tombstone);

#endif
