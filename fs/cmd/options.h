/* SPDX-License-Identifier: Apache-2.0 */
/* Options and operands of a command line, read as a command describes them. */
#ifndef SNAPCRYPT_FS_CMD_OPTIONS_H
#define SNAPCRYPT_FS_CMD_OPTIONS_H

#include "fs/cmd/command.h"

/* Options that every command takes; the last has neither name nor letter. */
extern const struct option_spec global_options[];

/*
 * Find the command that ARGV names in TABLE and read its options, which may stand anywhere after
 * it; global options may stand before it, too.
 *
 *   table   the last row has no name
 *
 * Returns 0; an exit code after a failure that is in invocation->failure; or -1 when the help or
 * the version was asked for and has been printed.
 */
MUST_CHECK int options_parse(struct invocation *invocation, const struct command *table, int argc,
			     char **argv);

#endif
