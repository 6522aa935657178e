/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a long command is, on standard error: percent, done of total, rate, time left, current item, errors.
 *
 * On a terminal a bar, else a line per interval; SIGUSR1 prints a line at once; nothing with -q.  All but start and stop may
 * be called from any thread, and cost next to nothing.
 */
#ifndef SNAPCRYPT_FS_CMD_PROGRESS_H
#define SNAPCRYPT_FS_CMD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/cmd/command.h"

struct progress;

/*
 *   verb      "restored": what has been done to the items
 *   items     "files": what is counted
 *   has_bytes rate and percent are those of bytes, else of items
 */
struct progress_options {
	const char *verb;
	const char *items;
	bool has_bytes;
};

/* One at a time.  What VERB and ITEMS point at is borrowed. */
MUST_CHECK int progress_start(const struct invocation *invocation,
			      const struct progress_options *options,
			      struct progress **ret_progress);

/* Takes the bar away; accepts NULL. */
void progress_stop(struct progress *progress);

/* What there is to do; 0: not known. */
void progress_total(struct progress *progress, uint64_t items, uint64_t bytes);
void progress_add(struct progress *progress, uint64_t items, uint64_t bytes);

/* Count what was there already, so that the rate does not. */
void progress_skip(struct progress *progress, uint64_t items, uint64_t bytes);
void progress_error(struct progress *progress);

/* What is being worked at now; copied. */
void progress_current(struct progress *progress, const char *name);

/* Make room for a line on standard error while a bar is shown. */
void progress_clear_line(void);

#endif
