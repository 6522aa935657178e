/* SPDX-License-Identifier: Apache-2.0 */
/* May a key be deleted? */
#include "meta/catalog/key_check.h"

#include <string.h>

#include "meta/key_id.h"

const char *key_check_doubt_name(enum key_check_doubt doubt)
{
	static const char *const names[] = {
		[DOUBT_UNREACHABLE] = "unreachable", [DOUBT_NEVER] = "never-scanned",
		[DOUBT_FAILED] = "scan-failed",      [DOUBT_OLD] = "old",
		[DOUBT_CHANGED] = "changed",         [DOUBT_INCOMPLETE] = "incomplete",
		[DOUBT_DAMAGED] = "catalog-damaged", [DOUBT_UNREGISTERED] = "unregistered",
	};

	return doubt == DOUBT_NONE ? "" : names[doubt];
}

/* A scan in the future says that a clock is wrong, and then nothing is known about its age. */
static bool is_old(const struct catalog_volume *volume, const struct key_check_limits *limits)
{
	if (volume->scanned_s > limits->now_s + KEY_CHECK_SKEW_S)
		return true;
	return limits->max_age_s >= 0 && limits->now_s - volume->scanned_s > limits->max_age_s;
}

enum key_check_doubt key_check_volume(const struct catalog_volume *volume, enum key_check_look look,
				      const struct key_check_limits *limits)
{
	if (look == LOOK_UNREACHABLE)
		return DOUBT_UNREACHABLE;
	if (volume->scanned_s == 0)
		return DOUBT_NEVER;
	if (!volume->is_consistent)
		return DOUBT_DAMAGED;
	if (!volume->is_complete)
		return DOUBT_INCOMPLETE;
	if (look == LOOK_SCANNED)
		return DOUBT_NONE;
	if (look == LOOK_CHANGED)
		return DOUBT_CHANGED;
	/* That it could not be scanned last does not matter once it was seen to be the same. */
	if (look == LOOK_ELSEWHERE && volume->failed_s != 0)
		return DOUBT_FAILED;
	return is_old(volume, limits) ? DOUBT_OLD : DOUBT_NONE;
}

enum exit_code key_check_decide(const struct key_check_facts *facts)
{
	if (facts->needed_count > 0)
		return EXIT_NEEDED;
	/* A catalogue without volumes has not looked at anything. */
	if (facts->volume_count == 0 || facts->doubt_count > 0 || !facts->is_declared)
		return EXIT_UNKNOWN;
	return EXIT_OK;
}

bool key_asked_matches(const struct key_asked *asked, const struct need_key *key)
{
	if (asked->key_id[0] != '\0' && key_id_matches(key->key_id, asked->key_id))
		return true;
	return asked->alias[0] != '\0' && strcmp(key->alias, asked->alias) == 0;
}
