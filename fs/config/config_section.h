/* SPDX-License-Identifier: Apache-2.0 */
/* Sections of a configuration in memory, for the files of fs/config. */
#ifndef SNAPCRYPT_FS_CONFIG_CONFIG_SECTION_H
#define SNAPCRYPT_FS_CONFIG_CONFIG_SECTION_H

#include "fs/config/config.h"
#include "fs/config/config_table.h"

struct setting {
	char *name;
	char *value;  /* lists: joined with spaces */
	char **words; /* of a list, NULL-terminated; the pointers are into `split` */
	char *split;
	size_t word_count;
	char *source;
	unsigned line;
};

struct section {
	unsigned place; /* CONFIG_IN_* */
	char *name;     /* NULL: [global], environment, command line */
	struct setting *settings;
	size_t setting_count;
	struct config_setting *pairs; /* what config_key_settings() gives */
};

struct config {
	struct section global;
	struct section defaults;
	struct section environment;
	struct section command_line;
	struct section *volumes;
	size_t volume_count;
	struct section *keys;
	size_t key_count;
	char *state_dir;
	char *runtime_dir;
};

/* Where a value was read. */
struct setting_source {
	const char *file;
	unsigned line;
};

void section_free(struct section *section);
const struct setting *section_find(const struct section *section, const char *name);

/* Set, or for a list append unless IS_REPLACING.  -ENOMEM. */
MUST_CHECK int section_set(struct section *section, const struct config_key *key, const char *name,
			   const char *value, const struct setting_source *source,
			   bool is_replacing);

/* The section [volume "NAME"] or [key "NAME"], made if it is not there.  NULL: out of memory. */
struct section *config_section(struct config *config, unsigned place, const char *name);

/* Read one file.  -ENOENT if it is not there. */
MUST_CHECK int config_read_file(struct config *config, const char *path,
				struct config_error *reterr);

/* path, then every *.conf of the directory conf.d beside it, sorted. */
MUST_CHECK int config_read_files(struct config *config, const char *path,
				 struct config_error *reterr);

/* SNAPCRYPT_<KEY> for every key that may be set so. */
MUST_CHECK int config_read_environment(struct config *config, struct config_error *reterr);

/* Settings of a [key] section against its URI's scheme, secrets named once, and the like. */
MUST_CHECK int config_check_sections(const struct config *config, struct config_error *reterr);

#endif
