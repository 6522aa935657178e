/* SPDX-License-Identifier: Apache-2.0 */
/* Reading configuration files and the environment. */
#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <ini.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/config/config_section.h"

/* inih reads lines of at most this many bytes. */
#define LINE_MAX_SIZE 199

struct parse {
	struct config *config;
	struct config_error *error;
	const char *path;
	FILE *file;
	unsigned line;
	int result;
	bool is_line_too_long;
};

__attribute__((format(printf, 3, 4))) static int fail(struct config_error *error, int code,
						      const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (error)
		(void)vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
	return code;
}

/* fgets() for inih, counting lines. */
static char *read_line(char *text, int size, void *stream)
{
	struct parse *parse = stream;
	char *found = fgets(text, size, parse->file);

	if (!found)
		return NULL;
	parse->line++;
	if (!strchr(text, '\n') && !feof(parse->file))
		parse->is_line_too_long = true;
	return found;
}

/* The section of HEADING: global, volume "NAME" or key "NAME". */
static struct section *find_section(struct config *config, const char *heading)
{
	static const struct {
		const char *word;
		unsigned place;
	} kinds[] = { { "volume", CONFIG_IN_VOLUME }, { "key", CONFIG_IN_KEY } };
	char name[64];

	if (!strcmp(heading, "global"))
		return &config->global;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len = strlen(kinds[i].word);
		int end = 0;

		if (strncmp(heading, kinds[i].word, len) != 0)
			continue;
		if (sscanf(heading + len, " \"%63[^\"]\"%n", name, &end) == 1 && end > 0 &&
		    !heading[len + (size_t)end])
			return config_section(config, kinds[i].place, name);
	}
	return NULL;
}

static int take_line(struct parse *parse, const char *heading, const char *name, const char *value)
{
	struct setting_source source = { .file = parse->path, .line = parse->line };
	struct section *section;
	const struct config_key *key;

	if (parse->is_line_too_long)
		return fail(parse->error, -EINVAL,
			    "%s:%u: the line is longer than %d bytes; repeat the key for lists",
			    parse->path, parse->line, LINE_MAX_SIZE);
	section = find_section(parse->config, heading);
	if (!section)
		return fail(
			parse->error, -EINVAL,
			"%s:%u: section [%s] is not known; there are [global], [volume \"NAME\"] and "
			"[key \"NAME\"]",
			parse->path, parse->line, heading);
	key = config_key_find(name, section->place);
	if (!key)
		return fail(parse->error, -EINVAL, "%s:%u: key '%s' is not known in [%s]",
			    parse->path, parse->line, name, heading);
	if (config_key_check(key, value) < 0)
		return fail(parse->error, -EINVAL, "%s:%u: '%s' is not a value of %s%s%s",
			    parse->path, parse->line, value, name, key->words ? "; it has: " : "",
			    key->words ? key->words : "");
	return section_set(section, key, name, value, &source, false);
}

static int handle(void *user, const char *heading, const char *name, const char *value)
{
	struct parse *parse = user;

	if (parse->result == 0)
		parse->result = take_line(parse, heading, name, value);
	return parse->result == 0;
}

int config_read_file(struct config *config, const char *path, struct config_error *reterr)
{
	struct parse parse = {
		.config = config, .error = reterr, .path = path, .file = fopen(path, "re")
	};
	int line;

	if (!parse.file)
		return fail(reterr, -errno, "%s: %s", path, strerror(errno));
	line = ini_parse_stream(read_line, &parse, handle, &parse);
	fclose(parse.file);
	if (parse.result < 0)
		return parse.result;
	if (line != 0)
		return fail(reterr, -EINVAL, "%s:%d: neither [section] nor key = value", path,
			    line);
	return 0;
}

int config_read_files(struct config *config, const char *path, struct config_error *reterr)
{
	char copy[PATH_MAX], pattern[PATH_MAX + 16];
	glob_t found = { 0 };
	int r;

	r = config_read_file(config, path, reterr);
	if (r < 0 && r != -ENOENT)
		return r;
	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return fail(reterr, -ENAMETOOLONG, "%s: too long", path);
	(void)snprintf(pattern, sizeof(pattern), "%s/conf.d/*.conf", dirname(copy));
	if (glob(pattern, 0, NULL, &found) == 0) {
		int e = 0;

		for (size_t i = 0; e == 0 && i < found.gl_pathc; i++)
			e = config_read_file(config, found.gl_pathv[i], reterr);
		globfree(&found);
		if (e < 0)
			return e;
	}
	return r;
}

int config_read_environment(struct config *config, struct config_error *reterr)
{
	for (size_t i = 0; i < config_key_table_size; i++) {
		const struct config_key *key = &config_keys[i];
		char variable[64] = "SNAPCRYPT_";
		struct setting_source source = { .file = variable };
		size_t len = strlen(variable);
		const char *value;
		int r;

		if ((key->places & CONFIG_NOT_IN_ENVIRONMENT) ||
		    !(key->places & (CONFIG_IN_GLOBAL | CONFIG_IN_VOLUME)))
			continue;
		for (const char *c = key->name; *c; c++)
			variable[len++] = (char)toupper((unsigned char)*c);
		variable[len] = 0;
		value = getenv(variable);
		if (!value || !*value)
			continue;
		if (config_key_check(key, value) < 0)
			return fail(reterr, -EINVAL, "%s: '%s' is not a value of %s", variable,
				    value, key->name);
		r = section_set(&config->environment, key, key->name, value, &source, true);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_key_section(const struct section *section, struct config_error *reterr)
{
	const struct setting *uri = section_find(section, "uri");
	size_t scheme;

	if (!uri)
		return fail(reterr, -EINVAL, "%s: [key \"%s\"] has no uri",
			    section->setting_count ? section->settings[0].source : "configuration",
			    section->name);
	scheme = strcspn(uri->value, ":");
	for (size_t i = 0; i < section->setting_count; i++) {
		const struct setting *setting = &section->settings[i];
		const struct config_key *key = config_key_find(setting->name, CONFIG_IN_KEY);

		if (key && key->schemes && !config_words_have(key->schemes, uri->value, scheme))
			return fail(reterr, -EINVAL, "%s:%u: '%s' does not belong to a key of %.*s",
				    setting->source, setting->line, setting->name, (int)scheme,
				    uri->value);
	}
	return 0;
}

int config_check_sections(const struct config *config, struct config_error *reterr)
{
	for (size_t i = 0; i < config->key_count; i++) {
		int r = check_key_section(&config->keys[i], reterr);

		if (r < 0)
			return r;
	}
	return 0;
}
