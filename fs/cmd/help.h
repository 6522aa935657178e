/* SPDX-License-Identifier: Apache-2.0 */
/* Help texts, made from the command table. */
#ifndef SNAPCRYPT_FS_CMD_HELP_H
#define SNAPCRYPT_FS_CMD_HELP_H

#include "fs/cmd/command.h"

/* All commands, or those of GROUP ("snapshot"). */
void help_print_table(const struct command *table, const char *group);

void help_print_command(const struct command *command);

/* The name in the table, or its first word, that WORD was probably meant to be; NULL: none is near. */
const char *help_nearest_command(const struct command *table, const char *word);

/* Likewise for the long options of a command. */
const char *help_nearest_option(const struct command *command, const char *name);

#endif
