/* SPDX-License-Identifier: Apache-2.0 */
/* --threads */
#include "fs/cmd/threads.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS_MIN 2 /* one of them waits for storage most of the time */
#define THREADS_MAX 64

int threads_option(struct session *session, unsigned *ret_threads)
{
	const char *text = option_value(session->invocation, "threads");
	char *end = NULL;
	int64_t number = 0;
	int r = session_open_config(session);

	if (r != 0)
		return r;
	if (text != NULL) {
		number = strtol(text, &end, 10);
		if (end == text || *end != '\0' || number < 1 || number > THREADS_MAX)
			return fail(session->invocation, EXIT_USAGE,
				    "--threads %s: a number from 1 to %d", text, THREADS_MAX);
		*ret_threads = (unsigned)number;
		return 0;
	}
	number = (int64_t)config_number(session->access.config, session->access.volume_name,
					"threads");
	if (number <= 0)
		number = sysconf(_SC_NPROCESSORS_ONLN);
	if (number < THREADS_MIN)
		number = THREADS_MIN;
	*ret_threads = number > THREADS_MAX ? THREADS_MAX : (unsigned)number;
	return 0;
}
