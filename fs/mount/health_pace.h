/* SPDX-License-Identifier: Apache-2.0 */
/* When the keys of a mount are asked. */
#ifndef SNAPCRYPT_FS_MOUNT_HEALTH_PACE_H
#define SNAPCRYPT_FS_MOUNT_HEALTH_PACE_H

#include <stdint.h>

#include "fs/mount/health_keys.h"
#include "fs/mount/mount.h"

/* The interval in which all of them are asked. */
int64_t pace_poll_ms(const struct mount_options *options);

/* How long to wait before a no that is new is asked for again. */
int64_t pace_confirm_ms(const struct mount_options *options);

/* When the grace of KEK is over; -1: it has none, or needs none. */
int64_t pace_grace_end_ms(const struct mount_options *options, const struct watched_kek *kek);

/*
 * When KEK, which was asked at SINCE_MS, is to be asked again.  One that does not answer is asked earlier than the interval wants:
 * as long after as it has been silent, between 10 s and a minute.
 */
int64_t pace_next_ms(const struct mount_options *options, const struct watched_kek *kek,
		     int64_t since_ms);

#endif
