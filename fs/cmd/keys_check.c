/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys check: may a key be deleted?
 *
 * 0 is said only when every volume that the answer is about was looked at and none needs the key.  Whatever cannot be known makes
 * it 7, also a catalogue that cannot be read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/cmd/catalog_rows.h"
#include "fs/cmd/commands.h"
#include "fs/cmd/keys_check.h"

const struct option_spec options_keys_check[] = {
	{ "scope", 0, "host|fleet", "volumes of this host only, or of all hosts (default)" },
	{ "live", 0, NULL, "scan the volumes of this host now" },
	{ NULL, 0, NULL, NULL },
};

/* ---- Looking at volumes --------------------------------------------------------------------------- */

static bool is_in_scope(const struct check *check, const struct catalog_volume *volume)
{
	return volume->forgotten_s == 0 && (!check->is_host_only || cataloging_is_here(volume));
}

static int list(struct check *check)
{
	struct catalog_error error = { 0 };

	catalog_volumes_free(&check->all);
	return catalog_list(check->catalog, &check->all, &error) < 0
		       ? cataloging_fail(&check->session, &error)
		       : 0;
}

/* --live: scan what is here, and remember by number what came of it. */
static int scan_all(struct check *check, int64_t *scanned, size_t *ret_count)
{
	size_t count = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < check->all.count; i++) {
		const struct catalog_volume *volume = &check->all.volumes[i];
		char text[512];

		if (!is_in_scope(check, volume) || !cataloging_is_here(volume))
			continue;
		r = cataloging_sync(&check->session, check->catalog, volume, text);
		if (r == 0)
			scanned[count++] = volume->number;
		r = r < 0 ? -r : 0;
	}
	*ret_count = count;
	return r;
}

static bool was_scanned(const int64_t *scanned, size_t count, int64_t number)
{
	for (size_t i = 0; i < count; i++)
		if (scanned[i] == number)
			return true;
	return false;
}

static enum key_check_look look_at(struct check *check, const struct catalog_volume *volume,
				   char text[static 512])
{
	if (!cataloging_is_here(volume))
		return LOOK_ELSEWHERE;
	if (option_is_set(check->session.invocation, "live")) {
		snprintf(text, 512, "%.500s", volume->failure);
		return LOOK_UNREACHABLE;
	}
	return cataloging_look(check->session.invocation, volume, text);
}

static void add_registered(struct check *check, const struct catalog_volume *volume,
			   bool is_scanned)
{
	const struct key_check_limits limits = {
		.now_s = time(NULL),
		.max_age_s = config_duration_s(check->session.access.config, NULL,
					       "catalog_max_age"),
	};
	struct check_volume *added = &check->volumes[check->count++];

	added->volume = volume;
	added->look = is_scanned ? LOOK_SCANNED : look_at(check, volume, added->text);
	added->doubt = key_check_volume(volume, added->look, &limits);
	/* Of one that has changed, this is what it was before. */
	added->is_default = added->doubt != DOUBT_CHANGED &&
			    key_uses_is_default(&check->asked, volume);
	if (added->doubt == DOUBT_INCOMPLETE)
		catalog_volume_gaps(volume, added->text, sizeof(added->text));
	if (added->doubt == DOUBT_FAILED)
		snprintf(added->text, sizeof(added->text), "%.500s", volume->failure);
}

static bool is_registered(const struct check *check, const struct uuid *id, const char *path)
{
	for (size_t i = 0; i < check->all.count; i++) {
		const struct catalog_volume *volume = &check->all.volumes[i];

		/* One that was forgotten was taken out by somebody who knew. */
		if (uuid_equal(&volume->volume, id) && strcmp(volume->path, path) == 0 &&
		    cataloging_is_here(volume))
			return true;
	}
	return false;
}

/* Volumes that this host has pinned and a catalogue that was lost does not have any more. */
static int add_unregistered(struct check *check)
{
	for (size_t i = 0; i < check->known.count; i++) {
		struct check_volume *added = &check->volumes[check->count];

		if (is_registered(check, &check->known.volumes[i], check->known.paths[i]))
			continue;
		added->unregistered = check->known.paths[i];
		added->unregistered_id = check->known.volumes[i];
		added->doubt = DOUBT_UNREGISTERED;
		check->count++;
	}
	return 0;
}

static int look_at_all(struct check *check)
{
	const bool is_live = option_is_set(check->session.invocation, "live");
	int64_t *scanned = calloc(check->all.count + 1, sizeof(*scanned));
	size_t scanned_count = 0;
	int r = 0;

	if (scanned == NULL)
		return fail(check->session.invocation, EXIT_UNKNOWN, "out of memory");
	if (is_live)
		r = scan_all(check, scanned, &scanned_count);
	if (r == 0 && is_live)
		r = list(check);
	if (r == 0) {
		check->volumes = calloc(check->all.count + check->known.count + 1,
					sizeof(*check->volumes));
		if (check->volumes == NULL)
			r = fail(check->session.invocation, EXIT_UNKNOWN, "out of memory");
	}
	for (size_t i = 0; r == 0 && i < check->all.count; i++) {
		const struct catalog_volume *volume = &check->all.volumes[i];

		if (is_in_scope(check, volume))
			add_registered(check, volume,
				       was_scanned(scanned, scanned_count, volume->number));
	}
	free(scanned);
	return r != 0 ? r : add_unregistered(check);
}

/* ---- Counting ------------------------------------------------------------------------------------- */

/* Uses on volumes that the answer is about come first; the others are dropped. */
static void drop_out_of_scope(struct check *check)
{
	size_t kept = 0;

	for (size_t i = 0; i < check->uses.count; i++) {
		struct key_use *use = &check->uses.uses[i];

		if (is_in_scope(check, use->volume)) {
			const struct key_use wanted = *use;

			*use = check->uses.uses[kept];
			check->uses.uses[kept++] = wanted;
		}
	}
	for (size_t i = kept; i < check->uses.count; i++) {
		free(check->uses.uses[i].snapshot.name);
		free(check->uses.uses[i].key_id);
	}
	check->uses.count = kept;
}

static void count(struct check *check)
{
	for (size_t i = 0; i < check->uses.count; i++) {
		if (keys_check_is_needed(check->uses.uses[i].role))
			check->facts.needed_count++;
		else
			check->redundant_count++;
	}
	for (size_t i = 0; i < check->count; i++) {
		check->facts.needed_count += check->volumes[i].is_default;
		check->facts.doubt_count += check->volumes[i].doubt != DOUBT_NONE;
	}
	check->facts.volume_count = check->count;
	check->facts.is_declared = check->is_declared || check->is_host_only;
}

/* ---- The command ---------------------------------------------------------------------------------- */

static int take_scope(struct check *check)
{
	struct invocation *invocation = check->session.invocation;
	const char *asked = option_value(invocation, "scope");
	const char *configured = config_text(check->session.access.config, NULL, "catalog_scope");

	if (asked != NULL && strcmp(asked, "host") != 0 && strcmp(asked, "fleet") != 0)
		return fail(invocation, EXIT_USAGE, "--scope is host or fleet, not %s", asked);
	check->is_host_only = asked != NULL && strcmp(asked, "host") == 0;
	check->is_declared = configured != NULL && strcmp(configured, "fleet") == 0;
	return 0;
}

static int run(struct check *check)
{
	struct catalog_error error = { 0 };
	int r = session_open_trust(&check->session);

	if (r == 0)
		r = cataloging_open(&check->session, CATALOGING_TIMEOUT_S, &check->catalog);
	if (r == 0 && catalog_check(check->catalog, &error) < 0)
		r = cataloging_fail(&check->session, &error);
	if (r == 0)
		r = list(check);
	if (r == 0 && known_places_pinned(check->session.access.trust, &check->known) < 0)
		r = fail(check->session.invocation, EXIT_UNKNOWN,
			 "what this host has pinned cannot be read");
	if (r == 0)
		r = look_at_all(check);
	if (r == 0)
		r = key_uses_find(&check->session, check->catalog, &check->asked, &check->all,
				  &check->uses);
	if (r != 0)
		return r;
	drop_out_of_scope(check);
	count(check);
	return keys_check_answer(check);
}

int cmd_keys_check(struct invocation *invocation)
{
	struct check check = { 0 };
	int r = 0;

	session_init(&check.session, invocation);
	r = session_open_config(&check.session);
	if (r == 0)
		r = take_scope(&check);
	if (r == 0)
		r = key_uses_resolve(&check.session, operand(invocation, 0), &check.asked);
	if (r == 0)
		r = run(&check);
	/* Whatever keeps the catalogue from being read, or the key from being named, is no "no". */
	if (r != EXIT_OK && r != EXIT_NEEDED && r != EXIT_USAGE)
		r = EXIT_UNKNOWN;
	free(check.volumes);
	key_uses_free(&check.uses);
	known_places_free(&check.known);
	catalog_volumes_free(&check.all);
	catalog_close(check.catalog);
	session_close(&check.session);
	return r;
}
