/* SPDX-License-Identifier: Apache-2.0 */
/* Sections of a configuration in memory. */
#include "fs/config/config_section.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATORS " ,\t"

static void setting_clear(struct setting *setting)
{
	free(setting->name);
	free(setting->value);
	free(setting->words);
	free(setting->split);
	free(setting->source);
}

void section_free(struct section *section)
{
	for (size_t i = 0; i < section->setting_count; i++)
		setting_clear(&section->settings[i]);
	free(section->settings);
	free(section->pairs);
	free(section->name);
}

const struct setting *section_find(const struct section *section, const char *name)
{
	for (size_t i = 0; i < section->setting_count; i++)
		if (!strcmp(section->settings[i].name, name))
			return &section->settings[i];
	return NULL;
}

static struct setting *setting_get(struct section *section, const char *name)
{
	struct setting *found = (struct setting *)(uintptr_t)section_find(section, name);
	struct setting *settings;

	if (found)
		return found;
	settings = realloc(section->settings, (section->setting_count + 1) * sizeof(*settings));
	if (!settings)
		return NULL;
	section->settings = settings;
	found = &settings[section->setting_count];
	*found = (struct setting){ .name = strdup(name) };
	if (!found->name)
		return NULL;
	section->setting_count++;
	return found;
}

/* Words of a list; an empty value has none. */
static int split_words(struct setting *setting)
{
	size_t limit = strlen(setting->value) / 2 + 2;
	char *rest;

	free(setting->words);
	free(setting->split);
	setting->split = strdup(setting->value);
	setting->words = calloc(limit, sizeof(*setting->words));
	setting->word_count = 0;
	if (!setting->split || !setting->words)
		return -ENOMEM;
	for (char *word = strtok_r(setting->split, SEPARATORS, &rest); word;
	     word = strtok_r(NULL, SEPARATORS, &rest))
		setting->words[setting->word_count++] = word;
	return 0;
}

int section_set(struct section *section, const struct config_key *key, const char *name,
		const char *value, const struct setting_source *source, bool is_replacing)
{
	struct setting *setting = setting_get(section, name);
	char *text = NULL;

	if (!setting)
		return -ENOMEM;
	if (key->type != CONFIG_TYPE_LIST || is_replacing || !setting->value)
		text = strdup(value);
	else if (asprintf(&text, "%s %s", setting->value, value) < 0)
		text = NULL;
	if (!text)
		return -ENOMEM;
	free(setting->value);
	setting->value = text;
	free(setting->source);
	setting->source = source->file ? strdup(source->file) : NULL;
	setting->line = source->line;
	if (source->file && !setting->source)
		return -ENOMEM;
	return key->type == CONFIG_TYPE_LIST ? split_words(setting) : 0;
}

struct section *config_section(struct config *config, unsigned place, const char *name)
{
	struct section **list = place == CONFIG_IN_KEY ? &config->keys : &config->volumes;
	size_t *count = place == CONFIG_IN_KEY ? &config->key_count : &config->volume_count;
	struct section *sections;

	for (size_t i = 0; i < *count; i++)
		if (!strcmp((*list)[i].name, name))
			return &(*list)[i];
	sections = realloc(*list, (*count + 1) * sizeof(*sections));
	if (!sections)
		return NULL;
	*list = sections;
	sections[*count] = (struct section){ .place = place, .name = strdup(name) };
	if (!sections[*count].name)
		return NULL;
	return &sections[(*count)++];
}
