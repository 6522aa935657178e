/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling an operator's program what happened: event_command is run once for each event, one after the other, without a shell, with
 * the event as JSON on its standard input.  Whoever sends never waits.  Thread-safe.
 */
#ifndef SNAPCRYPT_FS_EVENT_H
#define SNAPCRYPT_FS_EVENT_H

#include "meta/macros.h"

struct events;

/*
 * COMMAND: words as of a shell, the first one an absolute path.  Starts a thread.  -EINVAL: it is not such a command; -ENOENT,
 * -EACCES: there is no such program.
 */
MUST_CHECK int events_open(const char *command, struct events **ret_events);

/* Send one event, NAME of meta/NAMES.md, with its JSON.  Too many that wait are dropped, with a line in the log. */
void events_send(struct events *events, const char *name, const char *json);

/* Run what waits, for a few seconds at most.  Accepts NULL. */
void events_close(struct events *events);

#endif
