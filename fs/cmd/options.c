/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a command line: getopt_long() over the options that a command describes. */
#include "fs/cmd/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/cmd/help.h"

#define OPTIONS_MAX 48
#define LONG_BASE   256

const struct option_spec global_options[] = {
	{ "config", 0, "FILE", "read this configuration and a conf.d beside it" },
	{ "state-dir", 0, "DIR", "state directory" },
	{ "runtime-dir", 0, "DIR", "runtime directory" },
	{ "key", 0, "URI", "key service key that may be contacted; may be repeated" },
	{ "keyring", 0, "FILE", "embedded keyring" },
	{ "recovery-key", 0, "FILE", "key that opens recovery slots, for reading only" },
	{ "key-timeout", 0, "DURATION", "deadline of one key operation" },
	{ "json", 0, NULL, "print one JSON object" },
	{ NULL, 'o', "json", "the same as --json" },
	{ "quiet", 'q', NULL, "errors only" },
	{ "verbose", 'v', NULL, "say more; twice for debugging" },
	{ "help", 'h', NULL, "show help with an example" },
	{ NULL, 0, NULL, NULL },
};

static const struct option_spec version_options[] = {
	{ "version", 0, NULL, NULL },
	{ NULL, 0, NULL, NULL },
};

/* What getopt_long() is told, and the way back from its answers. */
struct option_table {
	const struct option_spec *specs[OPTIONS_MAX];
	size_t count;
	struct option longs[OPTIONS_MAX + 1];
	char shorts[2 * OPTIONS_MAX + 4];
};

static bool spec_ends(const struct option_spec *spec)
{
	return spec->name == NULL && spec->letter == 0;
}

static bool table_has(const struct option_table *table, const struct option_spec *spec)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option_spec *other = table->specs[i];

		if (spec->name != NULL && other->name != NULL &&
		    strcmp(spec->name, other->name) == 0)
			return true;
		if (spec->name == NULL && spec->letter == other->letter)
			return true;
	}
	return false;
}

/* The options of a command come first: they hide global ones of the same name. */
static void table_add(struct option_table *table, const struct option_spec *specs)
{
	for (; specs != NULL && !spec_ends(specs); specs++)
		if (table->count < OPTIONS_MAX && !table_has(table, specs))
			table->specs[table->count++] = specs;
}

static void table_finish(struct option_table *table, bool stop_at_operand)
{
	size_t long_count = 0;
	size_t used = 0;

	if (stop_at_operand)
		table->shorts[used++] = '+';
	table->shorts[used++] = ':';
	for (size_t i = 0; i < table->count; i++) {
		const struct option_spec *spec = table->specs[i];
		const bool has_argument = spec->argument != NULL;

		if (spec->name != NULL)
			table->longs[long_count++] = (struct option){
				.name = spec->name,
				.has_arg = has_argument ? required_argument : no_argument,
				.val = LONG_BASE + (int)i,
			};
		if (spec->letter != 0 && strchr(table->shorts, spec->letter) == NULL) {
			table->shorts[used++] = spec->letter;
			if (has_argument)
				table->shorts[used++] = ':';
		}
	}
}

static const struct option_spec *table_find(const struct option_table *table, int answer)
{
	if (answer >= LONG_BASE && (size_t)(answer - LONG_BASE) < table->count)
		return table->specs[answer - LONG_BASE];
	for (size_t i = 0; i < table->count; i++)
		if (table->specs[i]->letter != 0 && table->specs[i]->letter == answer)
			return table->specs[i];
	return NULL;
}

static int fail_unknown(struct invocation *invocation, const char *word, int letter)
{
	const char *command = invocation->command == NULL ? NULL : invocation->command->name;
	const char *near = NULL;
	char given[64];

	if (letter > 0 && letter < LONG_BASE && strncmp(word, "--", 2) != 0)
		snprintf(given, sizeof(given), "-%c", letter);
	else
		snprintf(given, sizeof(given), "%.*s", (int)strcspn(word, "="), word);
	if (strncmp(given, "--", 2) == 0)
		near = help_nearest_option(invocation->command, given + 2);
	fail(invocation, EXIT_USAGE, "unknown option %s", given);
	if (near != NULL)
		advise(invocation, "did you mean --%s? see 'snapcrypt%s%s --help'", near,
		       command == NULL ? "" : " ", command == NULL ? "" : command);
	else
		advise(invocation, "see 'snapcrypt%s%s --help'", command == NULL ? "" : " ",
		       command == NULL ? "" : command);
	return EXIT_USAGE;
}

static int take_option(struct invocation *invocation, const struct option_spec *spec,
		       const char *value)
{
	if (spec->argument != NULL && strcmp(spec->argument, "json") == 0) {
		if (strcmp(value, "json") != 0)
			return fail(invocation, EXIT_USAGE, "-o %s: the only format is json",
				    value);
		invocation->is_json = true;
		return 0;
	}
	if (spec->name != NULL && strcmp(spec->name, "json") == 0)
		invocation->is_json = true;
	if (spec->name != NULL && strcmp(spec->name, "quiet") == 0)
		invocation->is_quiet = true;
	if (spec->name != NULL && strcmp(spec->name, "verbose") == 0)
		invocation->verbosity++;
	if (invocation->given_count == OPTIONS_GIVEN_MAX)
		return fail(invocation, EXIT_USAGE, "more than %d options", OPTIONS_GIVEN_MAX);
	invocation->given[invocation->given_count++] = (struct option_given){ spec, value };
	return 0;
}

/* Read options of ARGV[1] and on; *ret_next is the first operand.  Operands are moved to the end. */
static int read_options(struct invocation *invocation, struct option_table *table, int argc,
			char **argv, int *ret_next)
{
	optind = 0;
	opterr = 0;
	for (;;) {
		const char *word = argv[optind == 0 ? 1 : optind];
		const int answer = getopt_long(argc, argv, table->shorts, table->longs, NULL);
		const struct option_spec *spec = NULL;
		int r = 0;

		if (answer == -1)
			break;
		/* With permutation the word that failed is the one just passed. */
		if (answer == '?' || answer == ':')
			word = argv[optind - 1];
		if (answer == ':') {
			fail(invocation, EXIT_USAGE, "option %s needs an argument", word);
			return EXIT_USAGE;
		}
		spec = answer == '?' ? NULL : table_find(table, answer);
		if (spec == NULL)
			return fail_unknown(invocation, word, optopt);
		r = take_option(invocation, spec, optarg);
		if (r != 0)
			return r;
	}
	*ret_next = optind;
	return 0;
}

static const struct command *find_command(const struct command *table, const char *name)
{
	for (; table->name != NULL; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

static bool is_group(const struct command *table, const char *word)
{
	const size_t length = strlen(word);

	for (; table->name != NULL; table++)
		if (strncmp(table->name, word, length) == 0 && table->name[length] == ' ')
			return true;
	return false;
}

static int fail_no_command(struct invocation *invocation, const struct command *table,
			   const char *name)
{
	const char *near = help_nearest_command(table, name);

	fail(invocation, EXIT_USAGE, "unknown command '%s'", name);
	if (near != NULL)
		advise(invocation, "did you mean '%s'? 'snapcrypt --help' lists all", near);
	else
		advise(invocation, "'snapcrypt --help' lists all commands");
	return EXIT_USAGE;
}

/*
 * Read the words of the command.  *ret_used is the index of its last word; invocation->command is
 * set, or a group's or the program's help has been printed (-1).
 */
static int read_command(struct invocation *invocation, const struct command *table, int argc,
			char **argv, int *ret_used)
{
	char name[64] = "";
	int used = 0;

	while (invocation->command == NULL) {
		struct option_table options = { 0 };
		int next = 0;
		int r = 0;

		if (used == 0)
			table_add(&options, version_options);
		table_add(&options, global_options);
		table_finish(&options, true);
		r = read_options(invocation, &options, argc - used, argv + used, &next);
		if (r != 0)
			return r;
		if (option_is_set(invocation, "version")) {
			printf("snapcrypt %s\n", SNAPCRYPT_VERSION);
			return -1;
		}
		if (option_is_set(invocation, "help")) {
			help_print_table(table, name[0] == '\0' ? NULL : name);
			return -1;
		}
		used += next;
		if (used >= argc) {
			fail(invocation, EXIT_USAGE, "%s%s", name[0] == '\0' ? "" : name,
			     name[0] == '\0' ? "no command" : ": no subcommand");
			advise(invocation, "see 'snapcrypt%s%s --help'", name[0] == '\0' ? "" : " ",
			       name);
			return EXIT_USAGE;
		}
		if ((size_t)snprintf(name + strlen(name), sizeof(name) - strlen(name), "%s%s",
				     name[0] == '\0' ? "" : " ", argv[used]) >= sizeof(name) - 1)
			return fail_no_command(invocation, table, argv[used]);
		invocation->command = find_command(table, name);
		if (invocation->command == NULL && !is_group(table, name))
			return fail_no_command(invocation, table, name);
	}
	*ret_used = used;
	return 0;
}

static int check_operands(struct invocation *invocation)
{
	const struct command *command = invocation->command;

	if (invocation->operand_count < command->operand_min)
		fail(invocation, EXIT_USAGE, "%s: %s", command->name,
		     invocation->operand_count == 0 ? "no argument" : "too few arguments");
	else if (command->operand_max != OPERANDS_ANY &&
		 invocation->operand_count > command->operand_max)
		fail(invocation, EXIT_USAGE, "%s: unexpected argument '%s'", command->name,
		     invocation->operands[command->operand_max]);
	else
		return 0;
	advise(invocation, "usage: snapcrypt %s %s", command->name, command->synopsis);
	return EXIT_USAGE;
}

/* An error in the options must already be JSON for a caller who asked for it. */
static bool asks_for_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}

int options_parse(struct invocation *invocation, const struct command *table, int argc, char **argv)
{
	struct option_table options = { 0 };
	int used = 0;
	int next = 0;
	int r = 0;

	invocation->is_json = asks_for_json(argc, argv);
	r = read_command(invocation, table, argc, argv, &used);
	if (r != 0)
		return r;
	table_add(&options, invocation->command->options);
	table_add(&options, global_options);
	table_finish(&options, false);
	r = read_options(invocation, &options, argc - used, argv + used, &next);
	if (r != 0)
		return r;
	if (option_is_set(invocation, "help")) {
		help_print_command(invocation->command);
		return -1;
	}
	invocation->operands = argv + used + next;
	invocation->operand_count = argc - used - next;
	return check_operands(invocation);
}

const char *option_value(const struct invocation *invocation, const char *name)
{
	for (size_t i = invocation->given_count; i > 0; i--) {
		const struct option_given *given = &invocation->given[i - 1];

		if (given->spec->name != NULL && strcmp(given->spec->name, name) == 0)
			return given->value;
	}
	return NULL;
}

bool option_is_set(const struct invocation *invocation, const char *name)
{
	for (size_t i = 0; i < invocation->given_count; i++) {
		const char *given = invocation->given[i].spec->name;

		if (given != NULL && strcmp(given, name) == 0)
			return true;
	}
	return false;
}

const char *option_nth(const struct invocation *invocation, const char *name, size_t index)
{
	for (size_t i = 0; i < invocation->given_count; i++) {
		const struct option_given *given = &invocation->given[i];

		if (given->spec->name == NULL || strcmp(given->spec->name, name) != 0)
			continue;
		if (index == 0)
			return given->value;
		index--;
	}
	return NULL;
}

const char *operand(const struct invocation *invocation, int index)
{
	return index < invocation->operand_count ? invocation->operands[index] : NULL;
}
