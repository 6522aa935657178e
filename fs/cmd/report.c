/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of commands: failures, notices and questions. */
#include "fs/cmd/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/cmd/progress.h"
#include "fs/document.h"

int fail(struct invocation *invocation, int exit_code, const char *format, ...)
{
	struct failure *failure = &invocation->failure;
	va_list arguments;

	memset(failure, 0, sizeof(*failure));
	failure->exit_code = exit_code;
	va_start(arguments, format);
	vsnprintf(failure->text, sizeof(failure->text), format, arguments);
	va_end(arguments);
	return exit_code;
}

void advise(struct invocation *invocation, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(invocation->failure.advice, sizeof(invocation->failure.advice), format,
		  arguments);
	va_end(arguments);
}

static int key_exit_code(int error, const struct kms_error *key_error)
{
	switch (key_error->state) {
	case KEY_STATE_DISABLED:
	case KEY_STATE_PENDING_DELETION:
		return EXIT_KEY_DISABLED;
	case KEY_STATE_DELETED:
		return EXIT_KEY_DELETED;
	case KEY_STATE_DENIED:
		return EXIT_KEY_DENIED;
	case KEY_STATE_UNREACHABLE:
		return EXIT_UNREACHABLE;
	case KEY_STATE_CREDENTIALS_EXPIRED:
		return EXIT_CREDENTIALS;
	default:
		break;
	}
	/* No service was asked: nothing on this host says how to reach the key. */
	if (error == -ENOKEY)
		return EXIT_CREDENTIALS;
	return error == -EACCES ? EXIT_KEY_DENIED : exit_code_from_errno(error);
}

int fail_key(struct invocation *invocation, int error, const struct kms_error *key_error)
{
	const int exit_code = key_exit_code(error, key_error);

	fail(invocation, exit_code, "%s",
	     key_error->text[0] == '\0' ? strerror(-error) : key_error->text);
	if (key_error->advice[0] != '\0')
		advise(invocation, "%s", key_error->advice);
	snprintf(invocation->failure.request_id, sizeof(invocation->failure.request_id), "%s",
		 key_error->request_id);
	return exit_code;
}

void notice(const struct invocation *invocation, const char *format, ...)
{
	va_list arguments;

	if (invocation->is_quiet)
		return;
	progress_clear_line();
	fputs("snapcrypt: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static void report_json(const struct invocation *invocation, int exit_code)
{
	const struct failure *failure = &invocation->failure;
	CLEANUP(document_cleanup)
	struct json_object *output = document_new_output("snapcrypt.error/1");

	document_add_text(output, "command",
			  invocation->command == NULL ? "" : invocation->command->name);
	document_add_number(output, "exit_code", (uint64_t)exit_code);
	document_add_text(output, "word", exit_code_word(exit_code));
	document_add_text(output, "message", failure->text);
	document_add_text(output, "advice", failure->advice[0] == '\0' ? NULL : failure->advice);
	document_add_text(output, "key_id", failure->key_id[0] == '\0' ? NULL : failure->key_id);
	document_add_text(output, "request_id",
			  failure->request_id[0] == '\0' ? NULL : failure->request_id);
	fprintf(stderr, "%s\n", document_line(output));
}

void report_failure(const struct invocation *invocation, int exit_code)
{
	const struct failure *failure = &invocation->failure;

	if (failure->text[0] == '\0')
		return;
	if (invocation->is_json) {
		report_json(invocation, exit_code);
		return;
	}
	fprintf(stderr, "snapcrypt: %s%s%s\n", failure->text,
		failure->advice[0] == '\0' ? "" : "; ", failure->advice);
}

int confirm(struct invocation *invocation, const char *question)
{
	char answer[16] = "";

	if (option_is_set(invocation, "yes"))
		return 0;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		fail(invocation, EXIT_USAGE, "%s: no terminal to ask on", question);
		advise(invocation, "add --yes to go on without being asked");
		return EXIT_USAGE;
	}
	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	if (fgets(answer, sizeof(answer), stdin) == NULL ||
	    (strcmp(answer, "y\n") != 0 && strcmp(answer, "yes\n") != 0))
		return fail(invocation, EXIT_FAILED, "nothing was changed");
	return 0;
}
