/* SPDX-License-Identifier: Apache-2.0 */
/* Every key that a configuration may hold: meta/NAMES.md. */
#ifndef SNAPCRYPT_FS_CONFIG_CONFIG_TABLE_H
#define SNAPCRYPT_FS_CONFIG_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "meta/macros.h"

enum config_type {
	CONFIG_TYPE_TEXT,
	CONFIG_TYPE_BOOL,
	CONFIG_TYPE_SIZE,
	CONFIG_TYPE_DURATION,
	CONFIG_TYPE_NUMBER,
	CONFIG_TYPE_LIST,
	CONFIG_TYPE_KEEP, /* a number or a duration */
};

/* Where a key may stand. */
enum {
	CONFIG_IN_GLOBAL = 1 << 0,
	CONFIG_IN_VOLUME = 1 << 1,
	CONFIG_IN_KEY = 1 << 2,
	CONFIG_NOT_IN_ENVIRONMENT = 1 << 3,
	CONFIG_IS_SECRET = 1 << 4, /* named with one of the suffixes of "Secrets" only */
};

/*
 *   words   for text: the values it may have, separated by spaces, or NULL
 *   schemes for [key] sections: URI schemes it belongs to, separated by spaces; NULL: all
 */
struct config_key {
	const char *name;
	unsigned places;
	enum config_type type;
	const char *default_value;
	const char *words;
	const char *schemes;
};

extern const struct config_key config_keys[];
extern const size_t config_key_table_size;

/* The entry of NAME in PLACE (one of CONFIG_IN_*); secrets are found with their suffix.  NULL. */
const struct config_key *config_key_find(const char *name, unsigned place);

/* Is VALUE of the entry's type?  0 or -EINVAL. */
MUST_CHECK int config_key_check(const struct config_key *key, const char *value);

/* Is WORD among the space-separated WORDS? */
bool config_words_have(const char *words, const char *word, size_t len);

#endif
