/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command is, and what it gets.
 *
 * A command is one row of the table in fs/main.c.  It describes its options; the parser, the help and the completion
 * scripts are made from the description.  It reports a failure once, with fail(), and returns the exit code.
 */
#ifndef SNAPCRYPT_FS_CMD_COMMAND_H
#define SNAPCRYPT_FS_CMD_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "kms/error.h"
#include "meta/exit_code.h"
#include "meta/macros.h"

#define OPTIONS_GIVEN_MAX 64
#define OPERANDS_ANY      (-1)

/*
 *   name      long form without dashes, or NULL where there is only a letter
 *   letter    short form, or 0
 *   argument  word for its argument in the help; NULL: none
 */
struct option_spec {
	const char *name;
	char letter;
	const char *argument;
	const char *help;
};

/* Options of every command that destroys or rewrites. */
#define OPTION_DRY_RUN                                                         \
	{                                                                      \
		"dry-run", 'n', NULL, "change nothing, say what would be done" \
	}
#define OPTION_YES                                   \
	{                                            \
		"yes", 'y', NULL, "do not ask first" \
	}

struct invocation;

/*
 *   name      words of the command, joined by a space
 *   synopsis  operands and options, for the help
 *   options   those of this command beside the global ones; the last has neither name nor letter.  NULL: none
 *   example   one command line, or several joined by newlines
 */
struct command {
	const char *name;
	const char *synopsis;
	const char *summary;
	const char *example;
	const struct option_spec *options;
	int operand_min;
	int operand_max;
	int (*run)(struct invocation *invocation);
};

struct option_given {
	const struct option_spec *spec;
	const char *value;
};

/* Why a command failed: one message, reported at the end of main(). */
struct failure {
	int exit_code;
	char text[1536];
	char advice[640];
	char key_id[512];
	char request_id[96];
};

struct invocation {
	const struct command *command;
	int operand_count;
	char **operands;
	struct option_given given[OPTIONS_GIVEN_MAX];
	size_t given_count;
	bool is_json;
	bool is_quiet;
	bool has_said_notice; /* session_say_notice() */
	int verbosity;
	struct failure failure;
};

/* Value of an option, the last where it was repeated, or NULL. */
const char *option_value(const struct invocation *invocation, const char *name);
bool option_is_set(const struct invocation *invocation, const char *name);

/* The INDEXth value of a repeated option, or NULL. */
const char *option_nth(const struct invocation *invocation, const char *name, size_t index);

/* Operand INDEX, or NULL. */
const char *operand(const struct invocation *invocation, int index);

/*
 * Say why the command fails: what failed, on what, why.  Returns EXIT_CODE, so that callers can
 * write: return fail(invocation, ...).
 */
__attribute__((format(printf, 3, 4))) int fail(struct invocation *invocation, int exit_code,
					       const char *format, ...);

/* Add what to do next. */
__attribute__((format(printf, 2, 3))) void advise(struct invocation *invocation, const char *format,
						  ...);

/* The same for what kms/ reports. */
int fail_key(struct invocation *invocation, int error, const struct kms_error *key_error);

/* A line on standard error that does not end the command; silent with -q. */
__attribute__((format(printf, 2, 3))) void notice(const struct invocation *invocation,
						  const char *format, ...);

/*
 * Ask before something is destroyed.  0 to go on; else an exit code, already reported: no terminal
 * and no --yes is EXIT_USAGE, "no" is EXIT_FAILED.
 */
MUST_CHECK int confirm(struct invocation *invocation, const char *question);

#endif
