/* SPDX-License-Identifier: Apache-2.0 */
/* What is mounted where. */
#include "fs/mount/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Blanks, newlines and backslashes are written as three octal digits. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		unsigned value = 0;

		if (*from == '\\' && sscanf(from + 1, "%3o", &value) == 1) {
			*to = (char)value;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from);
}

/* 36 35 98:0 /root /mountpoint options ... - type source options */
static bool parse_line(char *line, const char *mountpoint, struct mountinfo *ret_entry)
{
	char *rest = strstr(line, " - ");
	char *saved = NULL;
	char *fields[5];

	if (!rest)
		return false;
	*rest = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		fields[i] = strtok_r(i == 0 ? line : NULL, " ", &saved);
		if (!fields[i])
			return false;
	}
	unescape(fields[4]);
	if (strcmp(fields[4], mountpoint) != 0)
		return false;
	char *type = strtok_r(rest + 3, " ", &saved);
	char *source = type ? strtok_r(NULL, " ", &saved) : NULL;

	if (!source)
		return false;
	unescape(source);
	copy_text(ret_entry->device, sizeof(ret_entry->device), fields[2]);
	copy_text(ret_entry->type, sizeof(ret_entry->type), type);
	copy_text(ret_entry->source, sizeof(ret_entry->source), source);
	return true;
}

int mountinfo_find(const char *mountpoint, struct mountinfo *ret_entry)
{
	FILE *table = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	int r = -ENOENT;

	if (!table)
		return -errno;
	while (getline(&line, &size, table) > 0) {
		line[strcspn(line, "\n")] = '\0';
		/* The last one lies on top. */
		if (parse_line(line, mountpoint, ret_entry))
			r = 0;
	}
	free(line);
	fclose(table);
	return r;
}

bool mountinfo_is_ours(const struct mountinfo *entry)
{
	return !strcmp(entry->type, MOUNT_TYPE);
}
