/* SPDX-License-Identifier: Apache-2.0 */
/* Help texts and near misses, made from the command table. */
#include "fs/cmd/help.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "fs/cmd/options.h"

#define WORD_MAX      48
#define NEAR_DISTANCE 2

void help_print_table(const struct command *table, const char *group)
{
	const size_t length = group == NULL ? 0 : strlen(group);

	printf("usage: snapcrypt [global options] %s%s [VOLUME] ... [options]\n\n",
	       group == NULL ? "COMMAND" : group, group == NULL ? " [SUBCOMMAND]" : " SUBCOMMAND");
	for (; table->name != NULL; table++) {
		if (group != NULL &&
		    (strncmp(table->name, group, length) != 0 || table->name[length] != ' '))
			continue;
		printf("  %-18s %s\n", table->name, table->summary);
	}
	printf("\n'snapcrypt COMMAND --help' shows the options of a command and an example.\n");
}

static void print_options(const struct option_spec *spec)
{
	for (; spec->name != NULL || spec->letter != 0; spec++) {
		char words[64] = "";
		size_t used = 0;

		if (spec->letter != 0)
			used += (size_t)snprintf(words, sizeof(words), "-%c%s", spec->letter,
						 spec->name == NULL ? "" : ", ");
		if (spec->name != NULL)
			used += (size_t)snprintf(words + used, sizeof(words) - used, "--%s",
						 spec->name);
		if (spec->argument != NULL)
			snprintf(words + used, sizeof(words) - used, " %s", spec->argument);
		printf("  %-28s %s\n", words, spec->help == NULL ? "" : spec->help);
	}
}

void help_print_command(const struct command *command)
{
	const char *line = command->example;

	printf("usage: snapcrypt %s %s\n\n%s\n", command->name, command->synopsis,
	       command->summary);
	if (command->options != NULL) {
		printf("\nOptions:\n");
		print_options(command->options);
	}
	printf("\nGlobal options:\n");
	print_options(global_options);
	printf("\nExample:\n");
	while (line != NULL && *line != '\0') {
		const size_t length = strcspn(line, "\n");

		printf("  %.*s\n", (int)length, line);
		line += length + (line[length] == '\n' ? 1 : 0);
	}
}

/* Levenshtein distance of two short words; longer ones are never near. */
static size_t distance(const char *a, const char *b)
{
	const size_t a_length = strlen(a);
	const size_t b_length = strlen(b);
	size_t row[WORD_MAX + 1];

	if (a_length > WORD_MAX || b_length > WORD_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
			size_t best = row[j] + 1 < row[j - 1] + 1 ? row[j] + 1 : row[j - 1] + 1;

			diagonal = row[j];
			if (replaced < best)
				best = replaced;
			row[j] = best;
		}
	}
	return row[b_length];
}

const char *help_nearest_command(const struct command *table, const char *word)
{
	const char *nearest = NULL;
	size_t best = NEAR_DISTANCE + 1;

	for (; table->name != NULL; table++) {
		const size_t found = distance(word, table->name);

		if (found < best) {
			best = found;
			nearest = table->name;
		}
	}
	return nearest;
}

const char *help_nearest_option(const struct command *command, const char *name)
{
	const struct option_spec *const lists[] = {
		command == NULL ? NULL : command->options,
		global_options,
	};
	const char *nearest = NULL;
	size_t best = NEAR_DISTANCE + 1;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const struct option_spec *spec = lists[i];

		for (; spec != NULL && (spec->name != NULL || spec->letter != 0); spec++) {
			const size_t found = spec->name == NULL ? SIZE_MAX
								: distance(name, spec->name);

			if (found < best) {
				best = found;
				nearest = spec->name;
			}
		}
	}
	return nearest;
}
