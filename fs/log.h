/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a mount: standard error in the foreground, syslog(3) from a daemon.
 *
 * Thread-safe after log_open().  One line for each call; what a line says is never shortened to hide
 * a name, and never split by one: control characters are shown as \xHH.
 */
#ifndef SNAPCRYPT_FS_LOG_H
#define SNAPCRYPT_FS_LOG_H

#include <stdbool.h>

/*
 *   priority   the least important that is logged: LOG_ERR to LOG_DEBUG of syslog(3)
 *   is_json    one JSON object a line
 *   volume     named in each line; borrowed for ever
 */
struct log_options {
	bool to_syslog;
	bool is_json;
	int priority;
	const char *volume;
};

void log_open(const struct log_options *options);

/* Log TEXT about PATH (backing path below the root; NULL or "": none). */
void log_line(int priority, const char *path, const char *text);

/* The word of a priority as in log_level, and back (-1: no such word). */
const char *log_level_name(int priority);
int log_level_parse(const char *word);

#endif
