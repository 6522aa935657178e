/* SPDX-License-Identifier: Apache-2.0 */
/* A kms_config that outlives open(). */
#include "kms/config_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The strings are ours, though struct kms_config borrows them elsewhere. */
static void free_text(const char *text)
{
	free((void *)(uintptr_t)text);
}

void kms_config_free(struct kms_config *copy)
{
	struct kms_setting *settings;

	if (!copy)
		return;
	settings = (struct kms_setting *)(uintptr_t)copy->settings;
	for (size_t i = 0; i < copy->setting_count; i++) {
		free_text(settings[i].name);
		free_text(settings[i].value);
	}
	free(settings);
	free_text(copy->uri);
	free_text(copy->section);
	free(copy);
}

static int copy_settings(const struct kms_config *config, struct kms_config *copy)
{
	struct kms_setting *settings = calloc(config->setting_count + 1, sizeof(*settings));

	if (!settings)
		return -ENOMEM;
	copy->settings = settings;
	for (size_t i = 0; i < config->setting_count; i++) {
		copy->setting_count++;
		settings[i].name = strdup(config->settings[i].name);
		settings[i].value = strdup(config->settings[i].value);
		if (!settings[i].name || !settings[i].value)
			return -ENOMEM;
	}
	return 0;
}

int kms_config_copy(const struct kms_config *config, struct kms_config **ret_copy)
{
	struct kms_config *copy = calloc(1, sizeof(*copy));
	int r;

	if (!copy)
		return -ENOMEM;
	r = copy_settings(config, copy);
	if (r == 0 && config->uri) {
		copy->uri = strdup(config->uri);
		r = copy->uri ? 0 : -ENOMEM;
	}
	if (r == 0 && config->section) {
		copy->section = strdup(config->section);
		r = copy->section ? 0 : -ENOMEM;
	}
	if (r < 0) {
		kms_config_free(copy);
		return r;
	}
	*ret_copy = copy;
	return 0;
}
