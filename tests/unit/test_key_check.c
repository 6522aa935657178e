/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys check against a model: random histories of a small fleet, in which the answer 0 must never be given while the key is
 * needed, and must be given when nothing needs it and nothing is in doubt.
 *
 * The model holds volumes as they are; the program's side sees them only by scans that were stored in the catalogue, and by what
 * a look at a volume of this host tells.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "meta/catalog/key_check.h"
#include "tests/unit/catalog_fixture.h"

#define HISTORIES     10000
#define STEPS         14
#define PLACES_MAX    4
#define SNAPSHOTS_MAX 4
#define DEKS_MAX      6
#define KEYS          3
#define MAX_AGE_S     100

static const char *const key_ids[KEYS] = { "vault:s/t/k#1", "vault:s/t/k#2", "arn:other" };

/* What is really there.  DEKs are bits; a DEK of a place has its slots there, because copies are rewrapped on their own. */
struct model_volume {
	unsigned default_key;
	bool has_snapshot[SNAPSHOTS_MAX];
	unsigned snapshot_deks[SNAPSHOTS_MAX];
	unsigned dek_count;
	unsigned primary[DEKS_MAX];
	unsigned alternate[DEKS_MAX]; /* KEYS: none */
};
struct model_place {
	unsigned volume;
	bool is_here;
	bool is_plugged;
	bool is_registered;
	bool is_damaged;
	int64_t number;
	uint64_t change; /* what a fingerprint tells */
	struct model_volume now;
	bool is_scanned;
	bool was_damaged; /* when it was scanned */
	struct model_volume scanned;
};
struct fleet {
	struct catalog *catalog;
	uint64_t random;
	unsigned base;
	uint64_t changes;
	int64_t now_s;
	struct model_place places[PLACES_MAX];
	size_t count;
	unsigned zeros; /* answers 0 so far */
};

static unsigned draw(struct fleet *fleet, unsigned bound)
{
	fleet->random = fleet->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(fleet->random >> 33) % bound;
}

static bool needs(const struct model_volume *volume, unsigned key, bool is_primary)
{
	for (unsigned i = 0; i < SNAPSHOTS_MAX; i++)
		for (unsigned dek = 0; volume->has_snapshot[i] && dek < volume->dek_count; dek++)
			if ((volume->snapshot_deks[i] & 1U << dek) != 0 &&
			    (is_primary ? volume->primary[dek] : volume->alternate[dek]) == key)
				return true;
	return is_primary && volume->default_key == key;
}

/* ---- What happens ------------------------------------------------------------------------------------------------ */

static void changed(struct fleet *fleet, struct model_place *place)
{
	place->change = ++fleet->changes;
}

static void add_place(struct fleet *fleet, const struct model_place *like)
{
	struct model_place *place = &fleet->places[fleet->count];
	char path[32];

	*place = like ? *like
		      : (struct model_place){ .volume = fleet->base + (unsigned)fleet->count };
	place->is_here = draw(fleet, 2) != 0;
	place->is_plugged = true;
	place->is_registered = true;
	place->is_scanned = false;
	snprintf(path, sizeof(path), "/%u/%zu", fleet->base, fleet->count);
	place->number = catalog_fixture_enter(fleet->catalog, place->volume,
					      place->is_here ? "here" : "there", path);
	changed(fleet, place);
	fleet->count++;
}

static void make_snapshot(struct fleet *fleet, struct model_place *place)
{
	struct model_volume *volume = &place->now;
	const unsigned slot = draw(fleet, SNAPSHOTS_MAX);

	if (volume->dek_count == DEKS_MAX || volume->has_snapshot[slot])
		return;
	volume->primary[volume->dek_count] = volume->default_key;
	volume->alternate[volume->dek_count] = draw(fleet, KEYS + 1);
	volume->has_snapshot[slot] = true;
	volume->snapshot_deks[slot] = 1U << volume->dek_count++;
	changed(fleet, place);
}

static void link_file(struct fleet *fleet, struct model_place *place)
{
	struct model_volume *volume = &place->now;
	const unsigned from = draw(fleet, SNAPSHOTS_MAX);
	const unsigned to = draw(fleet, SNAPSHOTS_MAX);

	if (!volume->has_snapshot[from] || !volume->has_snapshot[to])
		return;
	volume->snapshot_deks[to] |= volume->snapshot_deks[from];
	changed(fleet, place);
}

static void remove_snapshot(struct fleet *fleet, struct model_place *place)
{
	place->now.has_snapshot[draw(fleet, SNAPSHOTS_MAX)] = false;
	changed(fleet, place);
}

static void rewrap(struct fleet *fleet, struct model_place *place)
{
	const unsigned key = draw(fleet, KEYS);

	for (unsigned dek = 0; dek < place->now.dek_count; dek++)
		place->now.primary[dek] = key;
	changed(fleet, place);
}

static void add_model_snapshot(struct need_list *list, const struct model_volume *volume,
			       unsigned slot)
{
	const struct need_snapshot snapshot = {
		.id = catalog_fixture_uuid(slot),
		.name = (char[]){ (char)('a' + (int)slot), '\0' },
		.is_present = true,
	};
	struct need_use use = { .dek_count = 1 };

	assert_int_equal(need_list_add_snapshot(list, &snapshot, &use.snapshot), 0);
	for (unsigned dek = 0; dek < volume->dek_count; dek++) {
		if ((volume->snapshot_deks[slot] & 1U << dek) == 0)
			continue;
		use.role = SLOT_PRIMARY;
		assert_int_equal(need_list_add_key(list, "p", key_ids[volume->primary[dek]], NULL,
						   &use.key),
				 0);
		assert_int_equal(need_list_add_use(list, &use), 0);
		if (volume->alternate[dek] == KEYS)
			continue;
		use.role = SLOT_ALTERNATE;
		assert_int_equal(need_list_add_key(list, "p", key_ids[volume->alternate[dek]], NULL,
						   &use.key),
				 0);
		assert_int_equal(need_list_add_use(list, &use), 0);
	}
}

/* A scan of it, stored; false: it cannot be reached. */
static bool sync_place(struct fleet *fleet, struct model_place *place)
{
	struct need_list list = { .scanned_s = fleet->now_s, .is_stable = true };
	struct catalog_error error = { 0 };

	if (!place->is_registered)
		return false;
	if (!place->is_plugged) {
		assert_int_equal(catalog_store_failure(fleet->catalog, place->number, fleet->now_s,
						       "gone", &error),
				 0);
		return false;
	}
	strcpy(list.default_key_id, key_ids[place->now.default_key]);
	snprintf(list.fingerprint, sizeof(list.fingerprint), "%ju", (uintmax_t)place->change);
	list.damaged_count = place->is_damaged;
	for (unsigned i = 0; i < SNAPSHOTS_MAX; i++)
		if (place->now.has_snapshot[i])
			add_model_snapshot(&list, &place->now, i);
	need_list_finish(&list);
	assert_int_equal(catalog_store(fleet->catalog, place->number, &list, &error), 0);
	need_list_free(&list);
	place->is_scanned = true;
	place->was_damaged = place->is_damaged;
	place->scanned = place->now;
	return true;
}

static void forget(struct fleet *fleet, struct model_place *place)
{
	struct catalog_error error = { 0 };

	assert_int_equal(catalog_forget(fleet->catalog, place->number, fleet->now_s, &error), 0);
	place->is_registered = false;
	place->is_scanned = false;
}

/* ---- The answer -------------------------------------------------------------------------------------------------- */

struct asking {
	struct key_asked asked;
	const struct catalog_volumes *volumes;
	bool is_host_only;
	uint64_t needed;
};

static bool is_asked(void *arg, const struct need_key *key)
{
	const struct asking *asking = arg;

	return key_asked_matches(&asking->asked, key);
}

static int count_use(void *arg, const struct catalog_use *use)
{
	struct asking *asking = arg;

	for (size_t i = 0; i < asking->volumes->count; i++) {
		const struct catalog_volume *volume = &asking->volumes->volumes[i];

		if (volume->number == use->number && volume->forgotten_s == 0 &&
		    (!asking->is_host_only || strcmp(volume->host, "here") == 0))
			asking->needed += use->role == SLOT_PRIMARY;
	}
	return 0;
}

static struct model_place *find_place(struct fleet *fleet, int64_t number)
{
	for (size_t i = 0; i < fleet->count; i++)
		if (fleet->places[i].number == number)
			return &fleet->places[i];
	return NULL;
}

static enum key_check_look look_at(const struct model_place *place,
				   const struct catalog_volume *volume)
{
	char fingerprint[NEED_FINGERPRINT_SIZE];

	if (!place->is_here)
		return LOOK_ELSEWHERE;
	if (!place->is_plugged)
		return LOOK_UNREACHABLE;
	snprintf(fingerprint, sizeof(fingerprint), "%ju", (uintmax_t)place->change);
	return strcmp(fingerprint, volume->fingerprint) == 0 ? LOOK_SAME : LOOK_CHANGED;
}

struct question {
	unsigned key;
	bool is_host_only;
	bool is_declared;
	bool is_live;
};

static enum exit_code ask(struct fleet *fleet, const struct question *question)
{
	const struct key_check_limits limits = { fleet->now_s, MAX_AGE_S };
	struct key_check_facts facts = { .is_declared = question->is_declared ||
							question->is_host_only };
	struct asking asking = { .is_host_only = question->is_host_only };
	const struct catalog_search search = { is_asked, count_use, &asking };
	bool is_scanned[PLACES_MAX] = { false };
	struct catalog_volumes volumes = { 0 };
	struct catalog_error error = { 0 };

	for (size_t i = 0; question->is_live && i < fleet->count; i++)
		if (fleet->places[i].is_here)
			is_scanned[i] = sync_place(fleet, &fleet->places[i]);
	strcpy(asking.asked.key_id, key_ids[question->key]);
	assert_int_equal(catalog_list(fleet->catalog, &volumes, &error), 0);
	asking.volumes = &volumes;
	for (size_t i = 0; i < volumes.count; i++) {
		const struct catalog_volume *volume = &volumes.volumes[i];
		const struct model_place *place = find_place(fleet, volume->number);
		enum key_check_look look = LOOK_ELSEWHERE;
		enum key_check_doubt doubt = DOUBT_NONE;

		if (!place || volume->forgotten_s != 0 ||
		    (question->is_host_only && !place->is_here))
			continue;
		look = is_scanned[place - fleet->places] ? LOOK_SCANNED : look_at(place, volume);
		doubt = key_check_volume(volume, look, &limits);
		facts.volume_count++;
		facts.doubt_count += doubt != DOUBT_NONE;
		facts.needed_count += doubt != DOUBT_CHANGED &&
				      strcmp(volume->default_key_id, key_ids[question->key]) == 0;
	}
	assert_int_equal(catalog_search(fleet->catalog, &search, &error), 0);
	facts.needed_count += asking.needed;
	catalog_volumes_free(&volumes);
	return key_check_decide(&facts);
}

/*
 * What must hold of an answer.  Of a volume of another host the truth is what its own last scan saw: nobody here can know more
 * until it is older than allowed.
 */
static void judge(struct fleet *fleet, const struct question *question, enum exit_code answer)
{
	bool is_needed = false;
	bool is_known = question->is_declared || question->is_host_only;
	size_t looked = 0;

	for (size_t i = 0; i < fleet->count; i++) {
		const struct model_place *place = &fleet->places[i];
		const struct model_volume *truth = place->is_here ? &place->now : &place->scanned;

		if (!place->is_registered || (question->is_host_only && !place->is_here))
			continue;
		looked++;
		is_needed =
			is_needed || (place->is_here && needs(&place->now, question->key, true)) ||
			(place->is_scanned && !place->is_here && needs(truth, question->key, true));
		is_known = is_known && place->is_scanned && !place->was_damaged &&
			   (!place->is_here ||
			    (place->is_plugged &&
			     memcmp(&place->now, &place->scanned, sizeof(place->now)) == 0));
		if (!place->is_scanned && answer == EXIT_OK)
			fail_msg("0 though a volume was never scanned");
	}
	if (answer == EXIT_OK && (is_needed || !is_known || looked == 0))
		fail_msg("a wrong 0");
	if (answer == EXIT_OK)
		fleet->zeros++;
	/* Nothing is in doubt right after everything has been scanned. */
	if (question->is_live && question->is_host_only && is_known && looked > 0)
		assert_int_equal(answer, is_needed ? EXIT_NEEDED : EXIT_OK);
}

static void ask_something(struct fleet *fleet)
{
	const struct question question = {
		.key = draw(fleet, KEYS),
		.is_host_only = draw(fleet, 2) != 0,
		.is_declared = draw(fleet, 3) != 0,
		.is_live = draw(fleet, 2) != 0,
	};

	judge(fleet, &question, ask(fleet, &question));
}

/* ---- Histories --------------------------------------------------------------------------------------------------- */

static void happen(struct fleet *fleet)
{
	struct model_place *place = &fleet->places[draw(fleet, (unsigned)fleet->count)];

	switch (draw(fleet, 13)) {
	case 0:
		make_snapshot(fleet, place);
		break;
	case 1:
		link_file(fleet, place);
		break;
	case 2:
	case 3:
		remove_snapshot(fleet, place);
		break;
	case 4:
		rewrap(fleet, place);
		break;
	case 5:
		place->now.default_key = draw(fleet, KEYS);
		changed(fleet, place);
		break;
	case 6:
		if (fleet->count < PLACES_MAX)
			add_place(fleet, draw(fleet, 2) != 0 ? place : NULL);
		break;
	case 7:
		place->is_plugged = !place->is_plugged;
		break;
	case 8:
		if (draw(fleet, 4) == 0)
			forget(fleet, place);
		break;
	case 9:
		place->is_damaged = draw(fleet, 6) == 0;
		changed(fleet, place);
		break;
	case 10:
		fleet->now_s += draw(fleet, MAX_AGE_S);
		break;
	default:
		(void)sync_place(fleet, place);
		break;
	}
}

static unsigned histories(void)
{
	const char *given = getenv("SNAPCRYPT_TEST_HISTORIES");

	return given ? (unsigned)strtoul(given, NULL, 10) : HISTORIES;
}

static void no_history_ends_in_a_wrong_0(void **state)
{
	struct catalog *catalog = NULL;
	unsigned zeros = 0;

	(void)state;
	for (unsigned i = 0; i < histories(); i++) {
		struct fleet fleet = { .random = i, .base = i * PLACES_MAX, .now_s = 1000000 };

		/* Forgotten places stay; a fresh one now and then keeps lists short. */
		if (i % 20 == 0) {
			catalog_close(catalog);
			catalog = catalog_fixture_new();
		}
		fleet.catalog = catalog;
		add_place(&fleet, NULL);
		for (int step = 0; step < STEPS; step++) {
			happen(&fleet);
			if (step % 3 == 2)
				ask_something(&fleet);
		}
		zeros += fleet.zeros;
		for (size_t j = 0; j < fleet.count; j++)
			forget(&fleet, &fleet.places[j]);
	}
	catalog_close(catalog);
	/* Otherwise it would have shown nothing. */
	assert_true(zeros > histories() / 10);
}

static void a_clock_that_jumps_leaves_a_doubt(void **state)
{
	const struct key_check_limits limits = { .now_s = 1000000, .max_age_s = MAX_AGE_S };
	struct catalog_volume volume = {
		.scanned_s = 1000000,
		.is_complete = true,
		.is_consistent = true,
		.is_stable = true,
	};

	(void)state;
	assert_int_equal(key_check_volume(&volume, LOOK_SAME, &limits), DOUBT_NONE);
	volume.scanned_s = limits.now_s + 86400;
	assert_int_equal(key_check_volume(&volume, LOOK_SAME, &limits), DOUBT_OLD);
	volume.scanned_s = limits.now_s - MAX_AGE_S - 1;
	assert_int_equal(key_check_volume(&volume, LOOK_SAME, &limits), DOUBT_OLD);
	assert_int_equal(key_check_volume(&volume, LOOK_SCANNED, &limits), DOUBT_NONE);
}

static void a_catalogue_without_volumes_knows_nothing(void **state)
{
	(void)state;
	assert_int_equal(key_check_decide(&(struct key_check_facts){ .is_declared = true }),
			 EXIT_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_history_ends_in_a_wrong_0),
		cmocka_unit_test(a_clock_that_jumps_leaves_a_doubt),
		cmocka_unit_test(a_catalogue_without_volumes_knows_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
