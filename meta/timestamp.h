/* SPDX-License-Identifier: Apache-2.0 */
/* Times as text: RFC 3339 in records, local time on the command line. */
#ifndef SNAPCRYPT_META_TIMESTAMP_H
#define SNAPCRYPT_META_TIMESTAMP_H

#include <stdint.h>
#include <time.h>

#include "meta/macros.h"

#define TIMESTAMP_TEXT_SIZE 21 /* 2026-11-24T03:04:05Z and its NUL */

/* Seconds since the epoch as RFC 3339 UTC.  -ERANGE outside the years 0000 to 9999. */
MUST_CHECK int timestamp_format(int64_t time_s, char text[static TIMESTAMP_TEXT_SIZE]);

/*
 * Read RFC 3339 in UTC: upper-case T and Z, a fraction of 1 to 9 digits allowed, no offset, no leap
 * second. 0, else -EBADMSG.
 */
MUST_CHECK int timestamp_parse(const char *text, struct timespec *ret_time);

/* The same without a fraction, for records. */
MUST_CHECK int timestamp_parse_s(const char *text, int64_t *ret_time_s);

/*
 * Read YYYY-MM-DD, YYYY-MM-DD HH:MM or YYYY-MM-DD HH:MM:SS in local time (a T may stand for the
 * space), or RFC 3339 UTC. 0, else -EINVAL.
 */
MUST_CHECK int timestamp_parse_local(const char *text, int64_t *ret_time_s);

#endif
