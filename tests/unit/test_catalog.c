/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue: places, what a scan found, and finding a key again; on SQLite, or on the database that is named. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/catalog/key_check.h"
#include "tests/unit/catalog_fixture.h"
#include "tests/unit/temporary.h"

static int set_up(void **state)
{
	*state = catalog_fixture_new();
	return 0;
}

static int tear_down(void **state)
{
	catalog_close(*state);
	return 0;
}

static struct catalog_volumes list(struct catalog *catalog)
{
	struct catalog_volumes volumes = { 0 };
	struct catalog_error error = { 0 };

	if (catalog_list(catalog, &volumes, &error) < 0)
		fail_msg("%s", error.text);
	return volumes;
}

static void store(struct catalog *catalog, int64_t number, struct need_list *needs)
{
	struct catalog_error error = { 0 };

	need_list_finish(needs);
	if (catalog_store(catalog, number, needs, &error) < 0)
		fail_msg("%s", error.text);
	need_list_free(needs);
}

static struct need_list scanned_at(int64_t time_s)
{
	return (struct need_list){ .scanned_s = time_s, .is_stable = true };
}

/* A snapshot NAME with a slot of ROLE under KEY_ID. */
static void add(struct need_list *needs, const char *name, const char *key_id, const char *alias,
		enum slot_role role)
{
	const struct need_snapshot snapshot = {
		.id = catalog_fixture_uuid(100 + (unsigned)needs->snapshot_count),
		.name = (char *)(uintptr_t)name,
		.is_present = true,
		.is_encrypted = true,
		.created_s = 77,
		.sealed_s = 88,
	};
	struct need_use use = { .role = role, .dek_count = 1 };

	assert_int_equal(need_list_add_snapshot(needs, &snapshot, &use.snapshot), 0);
	assert_int_equal(need_list_add_key(needs, "aws", key_id, alias, &use.key), 0);
	assert_int_equal(need_list_add_use(needs, &use), 0);
}

/* Names of the snapshots that were found, in order, each followed by a blank. */
struct found {
	struct key_asked asked;
	char text[4096];
	size_t count;
	struct catalog_use last;
};

static bool is_asked(void *arg, const struct need_key *key)
{
	const struct found *found = arg;

	return key_asked_matches(&found->asked, key);
}

static int take(void *arg, const struct catalog_use *use)
{
	struct found *found = arg;

	strcat(found->text, use->snapshot.name);
	strcat(found->text, " ");
	found->last = *use;
	found->count++;
	return 0;
}

static void search(struct catalog *catalog, const char *key_id, const char *alias,
		   struct found *found)
{
	const struct catalog_search search = { is_asked, take, found };
	struct catalog_error error = { 0 };

	memset(found, 0, sizeof(*found));
	strcpy(found->asked.key_id, key_id);
	strcpy(found->asked.alias, alias);
	if (catalog_search(catalog, &search, &error) < 0)
		fail_msg("%s", error.text);
}

/* ---- Places ------------------------------------------------------------------------------------------------------ */

static void a_place_is_a_volume_a_host_and_a_path(void **state)
{
	struct catalog *catalog = *state;
	const int64_t first = catalog_fixture_enter(catalog, 1, "a", "/srv/x");
	struct catalog_volumes volumes;

	assert_int_equal(catalog_fixture_enter(catalog, 1, "a", "/srv/x"), first);
	assert_int_not_equal(catalog_fixture_enter(catalog, 1, "a", "/srv/copy"), first);
	assert_int_not_equal(catalog_fixture_enter(catalog, 1, "b", "/srv/x"), first);
	assert_int_not_equal(catalog_fixture_enter(catalog, 2, "a", "/srv/x"), first);
	volumes = list(catalog);
	assert_int_equal(volumes.count, 4);
	assert_string_equal(volumes.volumes[0].path, "/srv/copy");
	assert_string_equal(volumes.volumes[3].host, "b");
	assert_int_equal(volumes.volumes[0].scanned_s, 0);
	catalog_volumes_free(&volumes);
}

static void paths_of_any_bytes_come_back(void **state)
{
	static const char *const paths[] = { "/a%41 b", "/\xff\xfe\n", "/ünïcode", "/%" };
	struct catalog *catalog = *state;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		const int64_t number = catalog_fixture_enter(catalog, 1, "a", paths[i]);
		struct catalog_volumes volumes = list(catalog);
		bool is_found = false;

		for (size_t j = 0; j < volumes.count; j++)
			if (volumes.volumes[j].number == number)
				is_found = strcmp(volumes.volumes[j].path, paths[i]) == 0;
		assert_true(is_found);
		catalog_volumes_free(&volumes);
	}
}

static void encoded_text_that_is_malformed_is_refused(void **state)
{
	static const char *const texts[] = { "%", "%4", "%zz", "a%0", "%00" };
	char *text = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(catalog_text_decode(texts[i], &text), -EBADMSG);
}

static void a_forgotten_place_has_nothing_and_takes_nothing(void **state)
{
	struct catalog *catalog = *state;
	const int64_t number = catalog_fixture_enter(catalog, 1, "a", "/x");
	struct need_list needs = scanned_at(5);
	struct catalog_error error = { 0 };
	struct catalog_volumes volumes;
	struct found found;

	add(&needs, "s", "arn:k", "", SLOT_PRIMARY);
	store(catalog, number, &needs);
	assert_int_equal(catalog_forget(catalog, number, 2000, &error), 0);
	search(catalog, "arn:k", "", &found);
	assert_int_equal(found.count, 0);
	needs = scanned_at(6);
	assert_int_equal(catalog_store(catalog, number, &needs, &error), -ENOENT);
	volumes = list(catalog);
	assert_int_equal(volumes.volumes[0].forgotten_s, 2000);
	assert_int_equal(volumes.volumes[0].scanned_s, 0);
	catalog_volumes_free(&volumes);
	/* Entered again it is never scanned. */
	assert_int_equal(catalog_fixture_enter(catalog, 1, "a", "/x"), number);
	volumes = list(catalog);
	assert_int_equal(volumes.volumes[0].forgotten_s, 0);
	assert_int_equal(volumes.volumes[0].scanned_s, 0);
	catalog_volumes_free(&volumes);
}

/* ---- Scans ------------------------------------------------------------------------------------------------------- */

static void what_a_scan_found_comes_back(void **state)
{
	struct catalog *catalog = *state;
	const int64_t number = catalog_fixture_enter(catalog, 1, "a", "/x");
	struct need_list needs = scanned_at(5);
	struct catalog_volumes volumes;
	struct found found;

	strcpy(needs.default_key_id, "arn:default");
	strcpy(needs.fingerprint, "f00");
	needs.damaged_count = 3;
	add(&needs, "one", "arn:k", "alias/k", SLOT_PRIMARY);
	add(&needs, "t\xfcw", "arn:other", "", SLOT_RECOVERY);
	store(catalog, number, &needs);
	volumes = list(catalog);
	assert_string_equal(volumes.volumes[0].default_key_id, "arn:default");
	assert_string_equal(volumes.volumes[0].fingerprint, "f00");
	assert_int_equal(volumes.volumes[0].snapshot_count, 2);
	assert_int_equal(volumes.volumes[0].damaged_count, 3);
	assert_false(volumes.volumes[0].is_complete);
	assert_true(volumes.volumes[0].is_consistent);
	catalog_volumes_free(&volumes);
	search(catalog, "arn:other", "", &found);
	assert_string_equal(found.text, "t\xfcw ");
	assert_int_equal(found.last.role, SLOT_RECOVERY);
	assert_int_equal(found.last.snapshot.created_s, 77);
	assert_int_equal(found.last.snapshot.sealed_s, 88);
	assert_int_equal(found.last.number, number);
	search(catalog, "", "alias/k", &found);
	assert_string_equal(found.text, "one ");
	search(catalog, "arn:nothing", "alias/x", &found);
	assert_int_equal(found.count, 0);
}

static void a_later_scan_replaces_an_earlier_one_and_never_the_other_way(void **state)
{
	struct catalog *catalog = *state;
	const int64_t number = catalog_fixture_enter(catalog, 1, "a", "/x");
	struct need_list needs = scanned_at(50);
	struct found found;

	add(&needs, "new", "arn:k", "", SLOT_PRIMARY);
	store(catalog, number, &needs);
	needs = scanned_at(49);
	add(&needs, "old", "arn:k", "", SLOT_PRIMARY);
	store(catalog, number, &needs);
	search(catalog, "arn:k", "", &found);
	assert_string_equal(found.text, "new ");
	needs = scanned_at(51);
	store(catalog, number, &needs);
	search(catalog, "arn:k", "", &found);
	assert_int_equal(found.count, 0);
}

static void a_failure_is_remembered_until_a_scan_succeeds(void **state)
{
	struct catalog *catalog = *state;
	const int64_t number = catalog_fixture_enter(catalog, 1, "a", "/x");
	struct need_list needs = scanned_at(50);
	struct catalog_error error = { 0 };
	struct catalog_volumes volumes;

	assert_int_equal(catalog_store_failure(catalog, number, 40, "gone", &error), 0);
	volumes = list(catalog);
	assert_string_equal(volumes.volumes[0].failure, "gone");
	assert_int_equal(volumes.volumes[0].failed_s, 40);
	catalog_volumes_free(&volumes);
	store(catalog, number, &needs);
	volumes = list(catalog);
	assert_int_equal(volumes.volumes[0].failed_s, 0);
	assert_string_equal(volumes.volumes[0].failure, "");
	catalog_volumes_free(&volumes);
}

static void uses_of_one_key_are_joined(void **state)
{
	struct catalog *catalog = *state;
	const int64_t number = catalog_fixture_enter(catalog, 1, "a", "/x");
	struct need_list needs = scanned_at(5);
	struct found found;

	add(&needs, "stream", "arn:k", "", SLOT_PRIMARY);
	for (int i = 0; i < 40; i++)
		assert_int_equal(
			need_list_add_use(&needs, &(struct need_use){ 0, 0, SLOT_PRIMARY, 1 }), 0);
	store(catalog, number, &needs);
	search(catalog, "arn:k", "", &found);
	assert_int_equal(found.count, 1);
	assert_int_equal(found.last.dek_count, 41);
}

static void every_version_and_region_of_a_key_is_found(void **state)
{
	static const char *const ids[] = {
		"vault:s/t/k#1",
		"vault:s/t/k#12",
		"vault:s/t/kk#1",
		"arn:aws:kms:eu-west-1:1:key/mrk-7",
		"arn:aws:kms:us-east-1:1:key/mrk-7",
		"https://v/keys/n/1a",
	};
	struct catalog *catalog = *state;
	const int64_t number = catalog_fixture_enter(catalog, 1, "a", "/x");
	struct need_list needs = scanned_at(5);
	struct found found;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		char name[2] = { (char)('a' + (int)i), '\0' };

		add(&needs, name, ids[i], "", SLOT_PRIMARY);
	}
	store(catalog, number, &needs);
	search(catalog, "vault:s/t/k", "", &found);
	assert_string_equal(found.text, "a b ");
	search(catalog, "vault:s/t/k#1", "", &found);
	assert_string_equal(found.text, "a ");
	search(catalog, ids[3], "", &found);
	assert_string_equal(found.text, "d e ");
	search(catalog, "https://v/keys/n", "", &found);
	assert_string_equal(found.text, "f ");
}

/* ---- Damage and versions ----------------------------------------------------------------------------------------- */

static void rows_that_are_missing_are_noticed(void **state)
{
	static const char *const losses[] = { "delete from need",
					      "delete from snapshot where position = 1" };
	struct catalog *catalog = *state;
	const int64_t number = catalog_fixture_enter(catalog, 1, "a", "/x");
	const struct key_check_limits limits = { .now_s = 10, .max_age_s = 100 };

	for (size_t i = 0; i < ARRAY_SIZE(losses); i++) {
		struct need_list needs = scanned_at(5 + (int64_t)i);
		struct catalog_volumes volumes;

		add(&needs, "one", "arn:k", "", SLOT_PRIMARY);
		assert_int_equal(need_list_add_snapshot(
					 &needs,
					 &(struct need_snapshot){ .name = (char[]){ "bare" } },
					 &(uint32_t){ 0 }),
				 0);
		store(catalog, number, &needs);
		catalog_fixture_execute(catalog, losses[i]);
		volumes = list(catalog);
		assert_int_equal(key_check_volume(&volumes.volumes[0], LOOK_SAME, &limits),
				 DOUBT_DAMAGED);
		catalog_volumes_free(&volumes);
	}
}

static void a_newer_catalogue_is_refused_and_an_old_one_brought_up_to_date(void **state)
{
	const struct catalog_options options = { .url = catalog_fixture_url(), .timeout_s = 5 };
	struct catalog *catalog = *state;
	struct catalog *other = NULL;
	struct catalog_error error = { 0 };

	catalog_fixture_execute(catalog, "update catalog_version set version = 99");
	assert_int_equal(catalog_prepare(catalog, &error), -ENOTSUP);
	assert_non_null(strstr(error.text, "newer"));
	if (getenv("SNAPCRYPT_TEST_CATALOG"))
		assert_int_equal(catalog_open(&options, &other, &error), -ENOTSUP);
	catalog_fixture_execute(catalog, "drop table need");
	catalog_fixture_execute(catalog, "drop table kek");
	catalog_fixture_execute(catalog, "drop table snapshot");
	catalog_fixture_execute(catalog, "drop table volume");
	catalog_fixture_execute(catalog, "update catalog_version set version = 0");
	assert_int_equal(catalog_prepare(catalog, &error), 0);
	catalog_fixture_enter(catalog, 1, "a", "/x");
}

static void a_file_is_private_and_damage_has_a_name(void **state)
{
	const int fd = temporary_open();
	char url[64];
	const struct catalog_options options = { .url = url, .timeout_s = 1 };
	struct catalog_error error = { 0 };
	struct catalog *catalog = NULL;
	struct stat stat;
	FILE *file = NULL;

	(void)state;
	snprintf(url, sizeof(url), "sqlite:/proc/self/fd/%d/c.db", fd);
	if (catalog_open(&options, &catalog, &error) < 0)
		fail_msg("%s", error.text);
	assert_int_equal(catalog_check(catalog, &error), 0);
	catalog_close(catalog);
	assert_int_equal(fstatat(fd, "c.db", &stat, 0), 0);
	assert_int_equal(stat.st_mode & 0777, 0600);
	file = fopen(catalog_file(url), "w");
	assert_non_null(file);
	for (int i = 0; i < 5000; i++)
		fputc('x', file);
	fclose(file);
	assert_int_equal(catalog_open(&options, &catalog, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "is damaged"));
	temporary_remove(fd);
}

static void urls_that_name_nothing_are_refused(void **state)
{
	static const char *const urls[] = { "", "mysql://x", "postgresql://u:secret@h/d" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		const struct catalog_options options = { .url = urls[i], .timeout_s = 1 };
		struct catalog_error error = { 0 };
		struct catalog *catalog = NULL;

		assert_int_equal(catalog_open(&options, &catalog, &error), -EINVAL);
		assert_null(strstr(error.text, "secret"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_place_is_a_volume_a_host_and_a_path, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(paths_of_any_bytes_come_back, set_up, tear_down),
		cmocka_unit_test(encoded_text_that_is_malformed_is_refused),
		cmocka_unit_test_setup_teardown(a_forgotten_place_has_nothing_and_takes_nothing,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_a_scan_found_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_later_scan_replaces_an_earlier_one_and_never_the_other_way, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_failure_is_remembered_until_a_scan_succeeds,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(uses_of_one_key_are_joined, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_version_and_region_of_a_key_is_found, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(rows_that_are_missing_are_noticed, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_newer_catalogue_is_refused_and_an_old_one_brought_up_to_date, set_up,
			tear_down),
		cmocka_unit_test(a_file_is_private_and_damage_has_a_name),
		cmocka_unit_test(urls_that_name_nothing_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
