/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and times in tables, for people. */
#ifndef SNAPCRYPT_FS_CMD_HUMAN_H
#define SNAPCRYPT_FS_CMD_HUMAN_H

#include <stdint.h>

#define HUMAN_SIZE 32

/* "0 B", "4.0 KiB", "1.5 TiB". */
const char *human_bytes(uint64_t bytes, char text[static HUMAN_SIZE]);
const char *human_number(uint64_t number, char text[static HUMAN_SIZE]);

/* Local time, "2026-11-24 03:12:00"; "-" for 0. */
const char *human_time(int64_t time_s, char text[static HUMAN_SIZE]);

/* The time since then, in its largest unit: "5 min", "3 h", "212 d"; "-" for 0 and for times to come. */
const char *human_age(int64_t time_s, char text[static HUMAN_SIZE]);

#endif
