/* SPDX-License-Identifier: Apache-2.0 */
/* completion: scripts for shells, made from the command table. */
#include <stdio.h>
#include <string.h>

#include "fs/cmd/commands.h"
#include "fs/cmd/options.h"

static void print_option_words(const struct option_spec *spec)
{
	for (; spec != NULL && (spec->name != NULL || spec->letter != 0); spec++)
		if (spec->name != NULL)
			printf(" --%s", spec->name);
}

/* No row above has the same first word, which has LENGTH characters. */
static bool is_first_with(const struct command *command, size_t length)
{
	for (const struct command *before = commands; before < command; before++)
		if (strncmp(before->name, command->name, length) == 0 &&
		    (before->name[length] == ' ' || before->name[length] == '\0'))
			return false;
	return true;
}

/* First words, or the second ones after GROUP, each once. */
static void print_command_words(const char *group)
{
	const size_t length = group == NULL ? 0 : strlen(group) + 1;

	for (const struct command *command = commands; command->name != NULL; command++) {
		const char *word = command->name;
		size_t word_length = 0;

		if (group != NULL &&
		    (strncmp(word, group, length - 1) != 0 || word[length - 1] != ' '))
			continue;
		word += length;
		word_length = strcspn(word, " ");
		if (group != NULL || is_first_with(command, word_length))
			printf("%.*s ", (int)word_length, word);
	}
}

static bool is_first_of_group(const struct command *command, char group[static 32])
{
	const size_t length = strcspn(command->name, " ");

	if (command->name[length] == '\0' || length >= 32)
		return false;
	memcpy(group, command->name, length);
	group[length] = '\0';
	return is_first_with(command, length);
}

static void print_bash(void)
{
	char group[32];

	printf("_snapcrypt() {\n\tlocal word=${COMP_WORDS[COMP_CWORD]} words=\n"
	       "\tlocal command=${COMP_WORDS[1]} both=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\"\n"
	       "\tif [ \"$COMP_CWORD\" = 1 ]; then\n\t\twords='");
	print_command_words(NULL);
	printf("'\n\telse\n\t\tcase $command in\n");
	for (const struct command *command = commands; command->name != NULL; command++)
		if (is_first_of_group(command, group)) {
			printf("\t\t%s) [ \"$COMP_CWORD\" = 2 ] && words='", group);
			print_command_words(group);
			printf("' ;;\n");
		}
	printf("\t\tesac\n\tfi\n\tif [[ $word == -* ]]; then\n\t\tcase $both in\n");
	for (const struct command *command = commands; command->name != NULL; command++) {
		printf("\t\t'%s%s) words='", command->name,
		       strchr(command->name, ' ') == NULL ? " '*" : "'");
		print_option_words(command->options);
		print_option_words(global_options);
		printf("' ;;\n");
	}
	printf("\t\tesac\n\tfi\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\n"
	       "complete -o default -F _snapcrypt snapcrypt\n");
}

/* zsh runs the script of bash. */
static void print_zsh(void)
{
	printf("#compdef snapcrypt\nautoload -U +X bashcompinit && bashcompinit\n");
	print_bash();
}

static void print_fish_options(const struct command *command, const struct option_spec *spec)
{
	for (; spec != NULL && (spec->name != NULL || spec->letter != 0); spec++)
		if (spec->name != NULL)
			printf("complete -c snapcrypt -n '__fish_seen_subcommand_from %s' -l %s%s -d '%s'\n",
			       command->name, spec->name, spec->argument == NULL ? "" : " -r",
			       spec->help == NULL ? "" : spec->help);
}

static void print_fish(void)
{
	char group[32];

	printf("complete -c snapcrypt -n __fish_use_subcommand -a '");
	print_command_words(NULL);
	printf("'\n");
	for (const struct command *command = commands; command->name != NULL; command++) {
		if (is_first_of_group(command, group)) {
			printf("complete -c snapcrypt -n '__fish_seen_subcommand_from %s' -a '",
			       group);
			print_command_words(group);
			printf("'\n");
		}
		print_fish_options(command, command->options);
	}
	for (const struct option_spec *spec = global_options;
	     spec->name != NULL || spec->letter != 0; spec++)
		if (spec->name != NULL)
			printf("complete -c snapcrypt -l %s%s -d '%s'\n", spec->name,
			       spec->argument == NULL ? "" : " -r", spec->help);
}

int cmd_completion(struct invocation *invocation)
{
	const char *shell = operand(invocation, 0);

	if (strcmp(shell, "bash") == 0)
		print_bash();
	else if (strcmp(shell, "zsh") == 0)
		print_zsh();
	else if (strcmp(shell, "fish") == 0)
		print_fish();
	else
		return fail(invocation, EXIT_USAGE, "completion %s: bash, zsh or fish", shell);
	return EXIT_OK;
}
