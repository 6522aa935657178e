/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a configuration file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fs/config/config.h"

#define INPUT_MAX 60000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was taken is known, has a value, and says where it was. */
static int visit(void *arg, const struct config_item *item)
{
	if (!item->key || !item->section || (item->origin != CONFIG_DEFAULT && !item->value) ||
	    ((item->origin == CONFIG_GLOBAL || item->origin == CONFIG_VOLUME) && !item->line))
		abort();
	return *(int *)arg;
}

/* Every value that was accepted can be read. */
static void read_volume(const struct config *config, const char *name)
{
	size_t count;

	(void)config_text(config, name, "key");
	(void)config_bool(config, name, "require_cmk");
	(void)config_size(config, name, "write_queue");
	(void)config_duration_s(config, name, "key_poll");
	(void)config_number(config, name, "threads");
	(void)config_list(config, name, "trusted_writers", &count);
}

static void read_all(const struct config *config)
{
	int go_on = 0;

	read_volume(config, NULL);
	for (size_t i = 0; i < config_volume_count(config); i++)
		read_volume(config, config_volume_name(config, i));
	for (size_t i = 0; i < config_key_count(config); i++) {
		size_t count = 0;
		const struct config_setting *settings =
			config_key_settings(config, config_key_name(config, i), &count);

		for (size_t k = 0; k < count; k++)
			if (!settings[k].name || !settings[k].value)
				abort();
	}
	(void)config_each(config, visit, &go_on);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	static char path[64];
	struct config *config = NULL;
	struct config_error error = { 0 };

	if (size > INPUT_MAX)
		return 0;
	if (fd < 0) {
		fd = memfd_create("config", MFD_CLOEXEC);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	if (config_load(path, &config, &error) == 0)
		read_all(config);
	else if (!error.text[0])
		abort();
	config_free(config);
	return 0;
}
