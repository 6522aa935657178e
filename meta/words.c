/* SPDX-License-Identifier: Apache-2.0 */
/* A command line as words. */
#include "meta/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Copy one word from *SOURCE to *TARGET, undoing quotes.  Both move on. */
static int split_word(const char **source, char **target)
{
	char quote = 0;
	const char *s = *source;
	char *t = *target;

	for (; *s && (quote || !strchr(" \t\n", *s)); s++) {
		if (quote && *s == quote)
			quote = 0;
		else if (!quote && (*s == '\'' || *s == '"'))
			quote = *s;
		else if (*s == '\\' && quote != '\'' && s[1])
			*t++ = *++s;
		else
			*t++ = *s;
	}
	*t++ = 0;
	*source = s;
	*target = t;
	return quote ? -EINVAL : 0;
}

int words_split(const char *command, struct words *words)
{
	char *target;

	words->text = malloc(strlen(command) + 2);
	if (!words->text)
		return -ENOMEM;
	target = words->text;
	for (;;) {
		int r;

		command += strspn(command, " \t\n");
		if (!*command)
			break;
		if (words->count == WORDS_MAX)
			return -E2BIG;
		words->list[words->count++] = target;
		r = split_word(&command, &target);
		if (r < 0)
			return r;
	}
	return words->count ? 0 : -EINVAL;
}

void words_free(struct words *words)
{
	free(words->text);
	*words = (struct words){ 0 };
}
