/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: which value counts. */
#include "fs/config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/config/config_section.h"

#define SYSTEM_FILE "/etc/snapcrypt/snapcrypt.conf"

static int set_defaults(struct config *config)
{
	static const struct setting_source none;

	for (size_t i = 0; i < config_key_table_size; i++) {
		const struct config_key *key = &config_keys[i];
		int r;

		if (!key->default_value)
			continue;
		r = section_set(&config->defaults, key, key->name, key->default_value, &none, true);
		if (r < 0)
			return r;
	}
	return 0;
}

/* $VARIABLE/snapcrypt/NAME, or ~/FALLBACK/snapcrypt/NAME; NULL: neither is set, or out of memory. */
static char *xdg_path(const char *variable, const char *fallback, const char *name)
{
	const char *base = getenv(variable);
	const char *home = getenv("HOME");
	char *path = NULL;
	int n = -1;

	if (base && *base == '/')
		n = asprintf(&path, "%s/snapcrypt%s", base, name);
	else if (home && fallback)
		n = asprintf(&path, "%s/%s/snapcrypt%s", home, fallback, name);
	return n < 0 ? NULL : path;
}

static int set_directories(struct config *config)
{
	const char *state = config_text(config, NULL, "state_dir");
	const char *runtime = config_text(config, NULL, "runtime_dir");
	bool is_root = geteuid() == 0;

	config->state_dir = state     ? strdup(state)
			    : is_root ? strdup("/var/lib/snapcrypt")
				      : xdg_path("XDG_STATE_HOME", ".local/state", "");
	config->runtime_dir = runtime   ? strdup(runtime)
			      : is_root ? strdup("/run/snapcrypt")
					: xdg_path("XDG_RUNTIME_DIR", ".cache", "");
	return config->state_dir && config->runtime_dir ? 0 : -ENOMEM;
}

static int read_files(struct config *config, const char *file, struct config_error *reterr)
{
	char *user = NULL;
	int r;

	if (!file)
		file = getenv("SNAPCRYPT_CONFIG");
	if (file && *file)
		return config_read_files(config, file, reterr);
	if (geteuid() != 0)
		user = xdg_path("XDG_CONFIG_HOME", ".config", "/snapcrypt.conf");
	r = config_read_files(config, user ? user : SYSTEM_FILE, reterr);
	free(user);
	return r == -ENOENT ? 0 : r;
}

int config_load(const char *file, struct config **ret_config, struct config_error *reterr)
{
	struct config *config = calloc(1, sizeof(*config));
	int r;

	if (!config)
		return -ENOMEM;
	config->global.place = CONFIG_IN_GLOBAL;
	r = set_defaults(config);
	if (r == 0)
		r = read_files(config, file, reterr);
	if (r == 0)
		r = config_read_environment(config, reterr);
	if (r == 0)
		r = config_check_sections(config, reterr);
	if (r == 0)
		r = set_directories(config);
	if (r < 0) {
		config_free(config);
		return r;
	}
	*ret_config = config;
	return 0;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	section_free(&config->global);
	section_free(&config->defaults);
	section_free(&config->environment);
	section_free(&config->command_line);
	for (size_t i = 0; i < config->volume_count; i++)
		section_free(&config->volumes[i]);
	for (size_t i = 0; i < config->key_count; i++)
		section_free(&config->keys[i]);
	free(config->volumes);
	free(config->keys);
	free(config->state_dir);
	free(config->runtime_dir);
	free(config);
}

int config_set(struct config *config, const char *name, const char *value,
	       struct config_error *reterr)
{
	static const struct setting_source source = { .file = "command line" };
	const struct config_key *key = config_key_find(name, CONFIG_IN_GLOBAL | CONFIG_IN_VOLUME);
	bool is_first = !section_find(&config->command_line, name);

	if (!key || config_key_check(key, value) < 0) {
		if (reterr)
			(void)snprintf(reterr->text, sizeof(reterr->text),
				       key ? "'%s' is not a value of %s"
					   : "'%s' cannot be set: key '%s' is not known",
				       value, name);
		return -EINVAL;
	}
	/* A list given twice on the command line has both. */
	int r = section_set(&config->command_line, key, name, value, &source, is_first);

	if (r == 0 && (!strcmp(name, "state_dir") || !strcmp(name, "runtime_dir"))) {
		free(config->state_dir);
		free(config->runtime_dir);
		r = set_directories(config);
	}
	return r;
}

static const struct section *volume_section(const struct config *config, const char *volume)
{
	for (size_t i = 0; volume && i < config->volume_count; i++)
		if (!strcmp(config->volumes[i].name, volume))
			return &config->volumes[i];
	return NULL;
}

/* The setting that counts, and whence; NULL: nothing is set and there is no default. */
static const struct setting *effective(const struct config *config, const char *volume,
				       const char *name, enum config_origin *ret_origin)
{
	const struct {
		const struct section *section;
		enum config_origin origin;
	} layers[] = {
		{ &config->command_line, CONFIG_COMMAND_LINE },
		{ &config->environment, CONFIG_ENVIRONMENT },
		{ volume_section(config, volume), CONFIG_VOLUME },
		{ &config->global, CONFIG_GLOBAL },
		{ &config->defaults, CONFIG_DEFAULT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		const struct setting *setting = layers[i].section
							? section_find(layers[i].section, name)
							: NULL;

		if (!setting)
			continue;
		*ret_origin = layers[i].origin;
		return setting;
	}
	return NULL;
}

static const struct setting *required(const struct config *config, const char *volume,
				      const char *name)
{
	enum config_origin origin;

	/* Asking for a key that nobody can set is a mistake in the program. */
	if (!config_key_find(name, CONFIG_IN_GLOBAL | CONFIG_IN_VOLUME)) {
		(void)fprintf(stderr, "snapcrypt: no configuration key %s\n", name);
		abort();
	}
	return effective(config, volume, name, &origin);
}

const char *config_text(const struct config *config, const char *volume, const char *name)
{
	const struct setting *setting = required(config, volume, name);

	return setting ? setting->value : NULL;
}

bool config_bool(const struct config *config, const char *volume, const char *name)
{
	const struct setting *setting = required(config, volume, name);
	bool value = false;

	return setting && config_parse_bool(setting->value, &value) == 0 && value;
}

uint64_t config_size(const struct config *config, const char *volume, const char *name)
{
	const struct setting *setting = required(config, volume, name);
	uint64_t size = 0;

	return setting && config_parse_size(setting->value, &size) == 0 ? size : 0;
}

int64_t config_duration_s(const struct config *config, const char *volume, const char *name)
{
	const struct setting *setting = required(config, volume, name);
	int64_t seconds = -1;

	return setting && config_parse_duration(setting->value, &seconds) == 0 ? seconds : -1;
}

uint64_t config_number(const struct config *config, const char *volume, const char *name)
{
	const struct setting *setting = required(config, volume, name);

	return setting ? strtoull(setting->value, NULL, 10) : 0;
}

const char *const *config_list(const struct config *config, const char *volume, const char *name,
			       size_t *ret_count)
{
	static const char *const none[] = { NULL };
	const struct setting *setting = required(config, volume, name);

	*ret_count = setting ? setting->word_count : 0;
	return setting && setting->words ? (const char *const *)setting->words : none;
}

bool config_is_set(const struct config *config, const char *volume, const char *name)
{
	enum config_origin origin = CONFIG_DEFAULT;

	return effective(config, volume, name, &origin) && origin != CONFIG_DEFAULT;
}

size_t config_volume_count(const struct config *config)
{
	return config->volume_count;
}

const char *config_volume_name(const struct config *config, size_t index)
{
	return config->volumes[index].name;
}

bool config_has_volume(const struct config *config, const char *name)
{
	return volume_section(config, name) != NULL;
}

const char *config_volume_by_id(const struct config *config, const struct uuid *id)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(id, text);
	for (size_t i = 0; i < config->volume_count; i++) {
		const struct setting *setting = section_find(&config->volumes[i], "volume_id");

		if (setting && !strcmp(setting->value, text))
			return config->volumes[i].name;
	}
	return NULL;
}

const char *config_volume_by_backing(const struct config *config, const char *path)
{
	struct stat wanted = { 0 }, found;
	bool exists = stat(path, &wanted) == 0;

	for (size_t i = 0; i < config->volume_count; i++) {
		const struct setting *setting = section_find(&config->volumes[i], "backing");

		if (!setting)
			continue;
		if (!strcmp(setting->value, path) ||
		    (exists && stat(setting->value, &found) == 0 && found.st_dev == wanted.st_dev &&
		     found.st_ino == wanted.st_ino))
			return config->volumes[i].name;
	}
	return NULL;
}

size_t config_key_count(const struct config *config)
{
	return config->key_count;
}

const char *config_key_name(const struct config *config, size_t index)
{
	return config->keys[index].name;
}

const char *config_key_by_uri(const struct config *config, const char *uri)
{
	for (size_t i = 0; i < config->key_count; i++) {
		const struct setting *setting = section_find(&config->keys[i], "uri");

		if (setting && !strcmp(setting->value, uri))
			return config->keys[i].name;
	}
	return NULL;
}

const char *config_origin_name(enum config_origin origin)
{
	static const char *const names[] = {
		[CONFIG_DEFAULT] = "default",
		[CONFIG_GLOBAL] = "global",
		[CONFIG_VOLUME] = "volume",
		[CONFIG_ENVIRONMENT] = "environment",
		[CONFIG_COMMAND_LINE] = "command line",
	};

	return names[origin];
}

const char *config_state_dir(const struct config *config)
{
	return config->state_dir;
}

const char *config_runtime_dir(const struct config *config)
{
	return config->runtime_dir;
}

int config_state_path(const struct config *config, const char *volume, const char *name,
		      const char *file, char **ret_path)
{
	const char *configured = config_text(config, volume, name);
	char *path = NULL;

	if (configured)
		path = strdup(configured);
	else if (asprintf(&path, "%s/%s", config->state_dir, file) < 0)
		path = NULL;
	if (!path)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}
