/* SPDX-License-Identifier: Apache-2.0 */
/* When the keys of a mount are asked. */
#include "fs/mount/health_pace.h"

#define POLL_MIN_MS    1000
#define CONFIRM_MAX_MS 5000
#define SILENT_MIN_MS  10000
#define SILENT_MAX_MS  60000

int64_t pace_poll_ms(const struct mount_options *options)
{
	return options->key_poll_ms < POLL_MIN_MS ? POLL_MIN_MS : options->key_poll_ms;
}

int64_t pace_confirm_ms(const struct mount_options *options)
{
	const int64_t poll_ms = pace_poll_ms(options);

	return poll_ms < CONFIRM_MAX_MS ? poll_ms : CONFIRM_MAX_MS;
}

int64_t pace_grace_end_ms(const struct mount_options *options, const struct watched_kek *kek)
{
	const int64_t grace_s = options->unreachable_grace_s;

	return grace_s < 0 || kek->silent_since_ms == 0 || kek->withdrawn_as != KEY_STATE_UNKNOWN
		       ? -1
		       : kek->silent_since_ms + grace_s * 1000;
}

int64_t pace_next_ms(const struct mount_options *options, const struct watched_kek *kek,
		     int64_t since_ms)
{
	const int64_t end_ms = pace_grace_end_ms(options, kek);
	int64_t pause_ms = pace_poll_ms(options);
	int64_t silent_ms = since_ms - kek->silent_since_ms;

	if (silent_ms < SILENT_MIN_MS)
		silent_ms = SILENT_MIN_MS;
	if (silent_ms > SILENT_MAX_MS)
		silent_ms = SILENT_MAX_MS;
	if (kek->silent_since_ms != 0 && silent_ms < pause_ms)
		pause_ms = silent_ms;
	return end_ms >= 0 && end_ms < since_ms + pause_ms ? end_ms : since_ms + pause_ms;
}
