/* SPDX-License-Identifier: Apache-2.0 */
/* A command line as words, for programs that are run without a shell. */
#ifndef SNAPCRYPT_META_WORDS_H
#define SNAPCRYPT_META_WORDS_H

#include <stddef.h>

#include "meta/macros.h"

#define WORDS_MAX 64

/* Ends with NULL, as execve(2) wants it. */
struct words {
	char *text; /* all words, each with its NUL */
	char *list[WORDS_MAX + 1];
	size_t count;
};

/*
 * Split COMMAND as a shell would: quotes and backslashes, nothing else.  WORDS is zeroed; words_free() it, also on failure.
 * -EINVAL: no word, or unbalanced quotes; -E2BIG; -ENOMEM.
 */
MUST_CHECK int words_split(const char *command, struct words *words);
void words_free(struct words *words);

#endif
