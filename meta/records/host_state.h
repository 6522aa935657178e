/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host has written down for itself (its state directory, meta/NAMES.md, "Paths").  JSON texts
 * as records are, but neither signed nor ever copied to a volume.
 */
#ifndef SNAPCRYPT_META_RECORDS_HOST_STATE_H
#define SNAPCRYPT_META_RECORDS_HOST_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/bytes.h"
#include "meta/macros.h"
#include "meta/records/key_record.h"
#include "meta/records/volume_record.h"
#include "meta/uuid.h"

#define HOST_BACKINGS_MAX 64
#define HOST_KEKS_MAX     4096

/* What is pinned of a volume: pinned.json. */
struct volume_pin {
	struct volume_record record; /* the settings that count here */
	uint64_t generation;         /* highest volume record generation seen */
	uint64_t sequence;           /* highest seal sequence seen */
	char **backings;             /* paths where the volume was seen; owned */
	size_t backing_count;
};

void volume_pin_free(struct volume_pin *pin);

/* No-op if it is there already; the oldest gives way. */
MUST_CHECK int volume_pin_add_backing(struct volume_pin *pin, const char *path);
MUST_CHECK int volume_pin_encode(const struct volume_pin *pin, char **ret_text);
MUST_CHECK int volume_pin_decode(struct bytes text, struct volume_pin *ret_pin);

/*
 * What is known of a DEK.
 *
 *   is_trusted      made here, or named to `keys trust`; false: only the generation is remembered
 *   generation      highest generation of its key record seen here
 */
struct dek_pin {
	bool is_trusted;
	bool is_made_here;
	uint64_t generation;
	struct uuid snapshot;
	int64_t period_start_s; /* streams; 0: none */
	uint8_t commitment[DEK_COMMITMENT_SIZE];
};

MUST_CHECK int dek_pin_encode(const struct dek_pin *pin, char **ret_text);
MUST_CHECK int dek_pin_decode(struct bytes text, struct dek_pin *ret_pin);

/* A KEK that was given on this host, or the last definite answer about one: keys.json. */
struct kek_entry {
	char *uri;       /* NULL: only an answer is known; owned */
	char *key_id;    /* canonical, NULL: not known yet; owned */
	char state[32];  /* meta/NAMES.md, "Key states"; "": no answer remembered */
	int64_t since_s; /* of the answer */
};
struct kek_list {
	struct kek_entry *entries;
	size_t count;
};

void kek_list_free(struct kek_list *list);

/* Add an entry with what is given (NULL: nothing); both are copied.  NULL: no memory, or full. */
struct kek_entry *kek_list_add(struct kek_list *list, const char *uri, const char *key_id);
MUST_CHECK int kek_list_encode(const struct kek_list *list, char **ret_text);
MUST_CHECK int kek_list_decode(struct bytes text, struct kek_list *ret_list);

#endif
