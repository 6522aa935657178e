/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: files, environment and command line, one table of known keys.  Words: meta/NAMES.md.
 *
 * Precedence upward: default, [global] in files, [volume] in files, environment, command line.  Lists grow over files.
 * Immutable after config_load() and config_set(); then thread-safe.
 */
#ifndef SNAPCRYPT_FS_CONFIG_CONFIG_H
#define SNAPCRYPT_FS_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/macros.h"
#include "meta/uuid.h"

struct config;

struct config_error {
	char text[1024]; /* with file and line where there is one */
};

/*
 * Read everything.
 *
 *   file   --config or the mount option; NULL: $SNAPCRYPT_CONFIG, else the default places
 *
 * -EINVAL: an unknown or malformed key, text says file and line; -ENOENT: FILE was named and is missing.
 */
MUST_CHECK int config_load(const char *file, struct config **ret_config,
			   struct config_error *reterr);
void config_free(struct config *config);

/* Where a value comes from, highest wins. */
enum config_origin {
	CONFIG_DEFAULT,
	CONFIG_GLOBAL,
	CONFIG_VOLUME,
	CONFIG_ENVIRONMENT,
	CONFIG_COMMAND_LINE,
};

/* An option of the command line or the mount.  -EINVAL: no such key, or not a value of its type. */
MUST_CHECK int config_set(struct config *config, const char *key, const char *value,
			  struct config_error *reterr);

/*
 * Values.  VOLUME is the NAME of a [volume] section, or NULL: [global] only.  KEY must be one of the table: anything else
 * is a bug and stops the program.  Text is NULL where nothing is set and there is no default.
 */
const char *config_text(const struct config *config, const char *volume, const char *key);
bool config_bool(const struct config *config, const char *volume, const char *key);
uint64_t config_size(const struct config *config, const char *volume, const char *key);
/* Seconds; -1: none, no limit. */
int64_t config_duration_s(const struct config *config, const char *volume, const char *key);
uint64_t config_number(const struct config *config, const char *volume, const char *key);
/* Words of a list; the array is the configuration's. */
const char *const *config_list(const struct config *config, const char *volume, const char *key,
			       size_t *ret_count);
/* Is it set anywhere above the default? */
bool config_is_set(const struct config *config, const char *volume, const char *key);

/* Values as text of a type, for options that are parsed elsewhere: 0 or -EINVAL. */
MUST_CHECK int config_parse_size(const char *text, uint64_t *ret_size);
MUST_CHECK int config_parse_duration(const char *text, int64_t *ret_duration_s);
MUST_CHECK int config_parse_bool(const char *text, bool *ret_value);

/* ---- Sections -------------------------------------------------------------------------------------------------- */

/* NAMEs of the [volume] and [key] sections, in the order of the files. */
size_t config_volume_count(const struct config *config);
const char *config_volume_name(const struct config *config, size_t index);
bool config_has_volume(const struct config *config, const char *name);
/* The section whose `volume_id`, or `backing` (compared as path and as directory), is this; NULL. */
const char *config_volume_by_id(const struct config *config, const struct uuid *id);
const char *config_volume_by_backing(const struct config *config, const char *path);

size_t config_key_count(const struct config *config);
const char *config_key_name(const struct config *config, size_t index);
/* The [key] section with that uri; NULL. */
const char *config_key_by_uri(const struct config *config, const char *uri);

struct config_setting {
	const char *name;
	const char *value;
};
/* All settings of a [key] section, `uri` first; the array is the configuration's.  NULL: no such section. */
const struct config_setting *config_key_settings(const struct config *config, const char *name,
						 size_t *ret_count);

/* ---- For `config show --origin` -------------------------------------------------------------------------------- */

struct config_item {
	const char *section; /* "global", "volume" or "key" */
	const char *name;    /* NAME of the section, or NULL */
	const char *key;
	const char *value; /* lists joined with spaces; NULL: not set */
	enum config_origin origin;
	const char *source; /* file, variable or "command line"; NULL for defaults */
	unsigned line;      /* 0: not a file */
};
/* Every known key of [global] with its effective value, then what the other sections set.  VISIT: non-zero stops. */
int config_each(const struct config *config,
		int (*visit)(void *arg, const struct config_item *item), void *arg);
const char *config_origin_name(enum config_origin origin);

/* ---- Paths ----------------------------------------------------------------------------------------------------- */

/* The state directory and the runtime directory, as configured or by default (XDG when unprivileged). */
const char *config_state_dir(const struct config *config);
const char *config_runtime_dir(const struct config *config);
/* STATE/FILE unless NAME is configured (keyring, audit_log); free() it. */
MUST_CHECK int config_state_path(const struct config *config, const char *volume, const char *name,
				 const char *file, char **ret_path);

#endif
