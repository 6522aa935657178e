/* SPDX-License-Identifier: Apache-2.0 */
/* Going over a configuration: what `config show` and the key services are given. */
#include <stdlib.h>
#include <string.h>

#include "fs/config/config_section.h"

const struct config_setting *config_key_settings(const struct config *config, const char *name,
						 size_t *ret_count)
{
	for (size_t i = 0; i < config->key_count; i++) {
		struct section *section = &config->keys[i];
		size_t count = 0;

		if (strcmp(section->name, name) != 0)
			continue;
		if (!section->pairs)
			section->pairs = calloc(section->setting_count + 1,
						sizeof(*section->pairs));
		if (!section->pairs)
			return NULL;
		for (int is_rest = 0; is_rest < 2; is_rest++)
			for (size_t k = 0; k < section->setting_count; k++)
				if ((strcmp(section->settings[k].name, "uri") != 0) == is_rest)
					section->pairs[count++] = (struct config_setting){
						section->settings[k].name,
						section->settings[k].value
					};
		*ret_count = count;
		return section->pairs;
	}
	return NULL;
}

struct visit {
	int (*visit)(void *arg, const struct config_item *item);
	void *arg;
};

static int visit_section(const struct visit *visit, const struct section *section, const char *word,
			 enum config_origin origin)
{
	for (size_t i = 0; i < section->setting_count; i++) {
		const struct setting *setting = &section->settings[i];
		struct config_item item = { .section = word,
					    .name = section->name,
					    .key = setting->name,
					    .value = setting->value,
					    .origin = origin,
					    .source = setting->source,
					    .line = setting->line };
		int r = visit->visit(visit->arg, &item);

		if (r != 0)
			return r;
	}
	return 0;
}

/* One key of [global] with the value that counts where no volume says otherwise. */
static int visit_effective(const struct config *config, const struct visit *visit,
			   const struct config_key *key)
{
	static const enum config_origin origins[] = { CONFIG_COMMAND_LINE, CONFIG_ENVIRONMENT,
						      CONFIG_GLOBAL, CONFIG_DEFAULT };
	const struct section *sections[] = { &config->command_line, &config->environment,
					     &config->global, &config->defaults };
	struct config_item item = { .section = "global", .key = key->name };

	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		const struct setting *setting = section_find(sections[i], key->name);

		if (!setting)
			continue;
		item.value = setting->value;
		item.origin = origins[i];
		item.source = setting->source;
		item.line = setting->line;
		break;
	}
	return visit->visit(visit->arg, &item);
}

int config_each(const struct config *config,
		int (*visit)(void *arg, const struct config_item *item), void *arg)
{
	const struct visit each = { visit, arg };
	int r = 0;

	for (size_t i = 0; r == 0 && i < config_key_table_size; i++)
		if ((config_keys[i].places & CONFIG_IN_GLOBAL) &&
		    !(config_keys[i].places & CONFIG_IS_SECRET))
			r = visit_effective(config, &each, &config_keys[i]);
	for (size_t i = 0; r == 0 && i < config->volume_count; i++)
		r = visit_section(&each, &config->volumes[i], "volume", CONFIG_VOLUME);
	for (size_t i = 0; r == 0 && i < config->key_count; i++)
		r = visit_section(&each, &config->keys[i], "key", CONFIG_GLOBAL);
	return r;
}
