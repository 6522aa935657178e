/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a mount. */
#include "fs/cmd/mount_options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct valued {
	const char *name;
	size_t member;
};

static const struct valued valued[] = {
	{ "snapshot=", offsetof(struct mount_request, snapshot) },
	{ "role=", offsetof(struct mount_request, role) },
	{ "config=", offsetof(struct mount_request, config) },
	{ "key_timeout=", offsetof(struct mount_request, key_timeout) },
	{ "key_poll=", offsetof(struct mount_request, key_poll) },
	{ "read_ahead=", offsetof(struct mount_request, read_ahead) },
	{ "write_queue=", offsetof(struct mount_request, write_queue) },
	{ "fsname=", offsetof(struct mount_request, fsname) },
};

/* mount(8) hands these to helpers; they mean something to it or to systemd. */
static const char *const ignored[] = {
	"defaults", "auto",   "noauto", "nofail", "_netdev",
	"user",     "nouser", "users",  "owner",  "group",
};

void mount_request_free(struct mount_request *request)
{
	free(request->volume);
	free(request->mountpoint);
	free(request->kernel);
	for (size_t i = 0; i < ARRAY_SIZE(valued); i++)
		free(*(char **)(void *)((char *)request + valued[i].member));
	memset(request, 0, sizeof(*request));
}

static bool is_ignored(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		if (strcmp(word, ignored[i]) == 0)
			return true;
	return strncmp(word, "x-", strlen("x-")) == 0 ||
	       strncmp(word, "comment=", strlen("comment=")) == 0;
}

static bool take_flag(struct mount_request *request, const char *word)
{
	if (strcmp(word, "ro") == 0)
		request->is_read_only = true;
	else if (strcmp(word, "rw") == 0)
		request->is_read_only = false;
	else if (strcmp(word, "require_sealed") == 0)
		request->requires_sealed = true;
	else if (strcmp(word, "replace_dead") == 0)
		request->replaces_dead = true;
	else if (strcmp(word, "allow_other") == 0)
		request->allow_other = MOUNT_YES;
	else if (strcmp(word, "noallow_other") == 0)
		request->allow_other = MOUNT_NO;
	else if (strcmp(word, "symfollow") == 0)
		request->symfollow = MOUNT_YES;
	else if (strcmp(word, "nosymfollow") == 0)
		request->symfollow = MOUNT_NO;
	else
		return false;
	return true;
}

static int take_valued(struct mount_request *request, const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(valued); i++) {
		const size_t length = strlen(valued[i].name);
		char **member = (char **)(void *)((char *)request + valued[i].member);

		if (strncmp(word, valued[i].name, length) != 0)
			continue;
		free(*member);
		*member = strdup(word + length);
		return *member == NULL ? -1 : 1;
	}
	return 0;
}

static int add_kernel_option(struct mount_request *request, const char *word)
{
	char *joined = NULL;

	if (asprintf(&joined, "%s%s%s", request->kernel == NULL ? "" : request->kernel,
		     request->kernel == NULL ? "" : ",", word) < 0)
		return -1;
	free(request->kernel);
	request->kernel = joined;
	return 0;
}

static int take_word(struct mount_request *request, struct invocation *invocation, const char *word)
{
	int taken = 0;

	if (*word == '\0' || is_ignored(word) || take_flag(request, word))
		return 0;
	/* mount(8) writes nosymfollow for the kernel, too: both spellings of it are above. */
	taken = take_valued(request, word);
	if (taken == 0)
		taken = add_kernel_option(request, word) < 0 ? -1 : 1;
	return taken < 0 ? fail(invocation, EXIT_FAILED, "out of memory") : 0;
}

/* The next option of *TEXT, unquoted into WORD: `\,` and double quotes protect a comma. */
static void next_word(const char **text, char *word)
{
	const char *in = *text;
	bool is_quoted = false;

	for (; *in != '\0' && (*in != ',' || is_quoted); in++) {
		if (*in == '"') {
			is_quoted = !is_quoted;
			continue;
		}
		if (*in == '\\' && (in[1] == ',' || in[1] == '\\' || in[1] == '"'))
			in++;
		*word++ = *in;
	}
	*word = '\0';
	*text = *in == ',' ? in + 1 : in;
}

int mount_request_add(struct mount_request *request, struct invocation *invocation,
		      const char *text)
{
	char *word = malloc(strlen(text) + 1);
	int r = word == NULL ? fail(invocation, EXIT_FAILED, "out of memory") : 0;

	while (r == 0 && *text != '\0') {
		next_word(&text, word);
		r = take_word(request, invocation, word);
	}
	free(word);
	return r;
}

int mount_request_check(const struct mount_request *request, struct invocation *invocation)
{
	if (request->is_read_only)
		return 0;
	if (request->snapshot != NULL) {
		fail(invocation, EXIT_USAGE, "snapshot=%s shows one snapshot, which needs ro",
		     request->snapshot);
		advise(invocation, "add ro, or leave snapshot= out");
		return EXIT_USAGE;
	}
	if (request->requires_sealed) {
		fail(invocation, EXIT_USAGE, "require_sealed needs ro");
		advise(invocation, "a sealed snapshot cannot be written to; add ro");
		return EXIT_USAGE;
	}
	if (option_is_set(invocation, "recovery-key")) {
		fail(invocation, EXIT_USAGE, "a recovery key opens snapshots for reading only");
		advise(invocation, "add --read-only");
		return EXIT_USAGE;
	}
	return 0;
}
