/* SPDX-License-Identifier: Apache-2.0 */
/* The log of a mount. */
#include "fs/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/document.h"
#include "meta/macros.h"
#include "meta/timestamp.h"

static struct log_options settings = { .priority = LOG_INFO };

static const struct {
	int priority;
	const char *word;
} levels[] = {
	{ LOG_ERR, "error" },
	{ LOG_WARNING, "warning" },
	{ LOG_INFO, "info" },
	{ LOG_DEBUG, "debug" },
};

void log_open(const struct log_options *options)
{
	settings = *options;
	if (options->to_syslog)
		openlog("snapcrypt", LOG_PID, LOG_DAEMON);
}

const char *log_level_name(int priority)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (priority <= levels[i].priority)
			return levels[i].word;
	return "debug";
}

int log_level_parse(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (strcmp(word, levels[i].word) == 0)
			return levels[i].priority;
	return -1;
}

/* A file name may hold a newline, and with it the beginning of a line that nobody wrote. */
static char *escape(const char *text)
{
	char *escaped = malloc(strlen(text) * 4 + 1);
	size_t used = 0;

	for (; escaped != NULL && *text != '\0'; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			used += (size_t)sprintf(escaped + used, "\\x%02x", (unsigned char)*text);
		else
			escaped[used++] = *text;
	}
	if (escaped != NULL)
		escaped[used] = '\0';
	return escaped;
}

static char *text_line(int priority, const char *path, const char *text)
{
	char *line = NULL;
	char *escaped = NULL;

	if (asprintf(&line, "%s: %s%s%s%s%s", log_level_name(priority),
		     settings.volume == NULL ? "" : settings.volume,
		     settings.volume == NULL ? "" : ": ", path, *path == '\0' ? "" : ": ",
		     text) < 0)
		return NULL;
	escaped = escape(line);
	free(line);
	return escaped;
}

static char *json_log_line(int priority, const char *path, const char *text)
{
	CLEANUP(document_cleanup) struct json_object *object = document_new_object();

	document_add_time(object, "time", time(NULL));
	document_add_text(object, "level", log_level_name(priority));
	document_add_path(object, "volume", settings.volume);
	document_add_path(object, "path", *path == '\0' ? NULL : path);
	document_add_text(object, "message", text);
	return strdup(document_line(object));
}

void log_line(int priority, const char *path, const char *text)
{
	char *line = NULL;
	const char *place = path == NULL ? "" : path;

	if (priority > settings.priority)
		return;
	line = settings.is_json ? json_log_line(priority, place, text)
				: text_line(priority, place, text);
	if (line == NULL)
		return;
	if (settings.to_syslog)
		syslog(priority, "%s", line);
	else
		dprintf(STDERR_FILENO, "snapcrypt: %s\n", line);
	free(line);
}
