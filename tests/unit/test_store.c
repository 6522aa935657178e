/* SPDX-License-Identifier: Apache-2.0 */
/* Making and opening volumes: whose settings count, and who holds the lock. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "meta/records/identity.h"
#include "tests/unit/volume_fixture.h"

static int set_up(void **state)
{
	*state = volume_fixture_new();
	return 0;
}

static int set_up_volume(void **state)
{
	*state = volume_fixture_new();
	volume_fixture_init(*state);
	return 0;
}

static int tear_down(void **state)
{
	volume_fixture_free(*state);
	return 0;
}

static void expect_refused(struct volume_fixture *fixture, int error, int exit_code,
			   const char *word)
{
	int r = volume_fixture_open(fixture, STORE_WRITE, NULL);

	if (r != error)
		fail_msg("expected %d, got %d: %s", error, r,
			 r < 0 ? fixture->error.text : "opened");
	assert_int_equal(fixture->error.exit_code, exit_code);
	if (!strstr(fixture->error.text, word))
		fail_msg("'%s' does not name %s", fixture->error.text, word);
}

static void init_makes_a_volume_that_opens(void **state)
{
	struct volume_fixture *fixture = *state;
	struct store_description description;
	struct stat st;

	assert_int_equal(fstatat(fixture->backing_fd, ".snapcrypt", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstatat(fixture->backing_fd, IDENTITY_FILE, &st, 0), 0);
	assert_int_equal(store_describe(fixture->backing_fd, fixture->trust, &description, NULL),
			 0);
	assert_int_equal(description.origin, TRUST_THIS_HOST);
	assert_int_equal(volume_record_differences(&description.record, &fixture->record), 0);
	volume_record_free(&description.record);

	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
	assert_true(store_is_writable(fixture->store));
	assert_true(store_is_encrypted(fixture->store));
	assert_int_equal(store_layout(fixture->store)->block_size, 4096);
	assert_int_equal(fixture->report_count, 0);
}

static void init_refuses_a_second_time(void **state)
{
	struct volume_fixture *fixture = *state;
	const struct volume_record settings = volume_fixture_settings(fixture);
	const struct store_init_options options = {
		.trust = fixture->trust,
		.settings = &settings,
		.backing = fixture->backing_path,
	};
	struct volume_record record;

	assert_int_equal(store_init(fixture->backing_fd, &options, &record, &fixture->error),
			 -EEXIST);
}

static void init_refuses_files_above_the_depth(void **state)
{
	struct volume_fixture *fixture = *state;
	const struct volume_record settings = volume_fixture_settings(fixture);
	const struct store_init_options options = {
		.trust = fixture->trust,
		.settings = &settings,
		.backing = fixture->backing_path,
	};
	struct volume_record record;

	volume_fixture_write(fixture, "dump.sql", "plain");
	assert_int_equal(store_init(fixture->backing_fd, &options, &record, &fixture->error),
			 -ENOTEMPTY);
	assert_non_null(strstr(fixture->error.text, "dump.sql"));
	/* It is no volume then, and a second try succeeds. */
	assert_int_equal(volume_fixture_open(fixture, STORE_READ, NULL), -ENOMEDIUM);
	assert_int_equal(fixture->error.exit_code, EXIT_NO_VOLUME);
	assert_int_equal(unlinkat(fixture->backing_fd, "dump.sql", 0), 0);
	volume_fixture_init(fixture);
}

static void init_lists_directories_that_were_there_as_plaintext(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot;

	assert_int_equal(mkdirat(fixture->backing_fd, "2020-01-01", 0755), 0);
	volume_fixture_write(fixture, "2020-01-01/data", "plain");
	volume_fixture_init(fixture);
	assert_int_equal(fixture->record.plaintext_snapshot_count, 1);
	assert_string_equal(fixture->record.plaintext_snapshots[0].name, "2020-01-01");

	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
	snapshot = volume_fixture_enter(fixture, "2020-01-01");
	assert_false(snapshot_is_encrypted(snapshot));
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_OPEN);
	assert_int_equal(snapshot_may_write(snapshot), -EROFS);
	snapshot_put(snapshot);
	/* Under another name it is not what the list says. */
	assert_int_equal(renameat(fixture->backing_fd, "2020-01-01", fixture->backing_fd, "moved"),
			 0);
	snapshot = volume_fixture_enter(fixture, "moved");
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_FOREIGN);
	snapshot_put(snapshot);
}

static void a_directory_without_volume_is_none(void **state)
{
	struct volume_fixture *fixture = *state;

	assert_int_equal(volume_fixture_open(fixture, STORE_READ, NULL), -ENOMEDIUM);
	assert_int_equal(fixture->error.exit_code, EXIT_NO_VOLUME);
}

static void a_second_writer_is_refused_and_readers_are_not(void **state)
{
	struct volume_fixture *fixture = *state;
	struct store *first;
	char pid[32];

	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
	first = fixture->store;
	fixture->store = NULL;
	snprintf(pid, sizeof(pid), "pid %ld", (long)getpid());
	expect_refused(fixture, -EWOULDBLOCK, EXIT_LOCKED, pid);
	assert_int_equal(volume_fixture_open(fixture, STORE_READ, NULL), 0);
	volume_fixture_close(fixture);
	assert_int_equal(store_close(first), 0);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
}

static void a_planted_volume_record_is_refused_by_field(void **state)
{
	static const struct {
		const char *old;
		const char *new;
		const char *field;
	} changes[] = {
		{ "\"names\":\"encrypted\"", "\"names\":\"plain\"", "names" },
		{ "\"default_key\":\"keyring:", "\"default_key\":\"awskms:", "default_key" },
		{ "\"recovery_keys\":[]",
		  "\"recovery_keys\":[{\"id\":\"recovery:x\",\"pem\":\"x\"}]", "recovery_keys" },
		{ "\"plaintext_snapshots\":[]",
		  "\"plaintext_snapshots\":[{\"id\":\"11111111-1111-4111-8111-111111111111\",\"name\":\"x\"}]",
		  "plaintext_snapshots" },
		{ "\"snapshot_depth\":1", "\"snapshot_depth\":2", "snapshot_depth" },
		{ "\"delete_sealed\":\"command\"", "\"delete_sealed\":\"mount\"", "delete_sealed" },
	};
	struct volume_fixture *fixture = *state;
	struct trust *attacker = volume_fixture_host(fixture, "attacker", NULL);

	/* The genuine record out of the way: an untrusted one counts only where no trusted one is. */
	assert_int_equal(renameat(fixture->backing_fd, ".snapcrypt/volume/1", fixture->backing_fd,
				  ".snapcrypt/genuine"),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		volume_fixture_forge(fixture, ".snapcrypt/genuine", ".snapcrypt/volume/1",
				     changes[i].old, changes[i].new, attacker);
		expect_refused(fixture, -EUCLEAN, EXIT_ORIGIN, changes[i].field);
	}
	/* Readers get what is pinned here, and are told. */
	assert_int_equal(volume_fixture_open(fixture, STORE_READ, NULL), 0);
	assert_int_equal(store_volume(fixture->store)->delete_sealed, DELETE_SEALED_COMMAND);
	assert_true(volume_fixture_has_report(fixture, "origin not verified"));
	trust_close(attacker);
}

static void a_record_of_an_unknown_writer_never_displaces_a_trusted_one(void **state)
{
	struct volume_fixture *fixture = *state;
	struct trust *attacker = volume_fixture_host(fixture, "attacker", NULL);

	volume_fixture_forge(fixture, ".snapcrypt/volume/1", ".snapcrypt/volume/2",
			     "\"generation\":1,", "\"generation\":2,", attacker);
	volume_fixture_forge(fixture, ".snapcrypt/volume/2", ".snapcrypt/volume/3",
			     "\"generation\":2,",
			     "\"generation\":3,\"critical\":[\"new\"],\"new\":1,", attacker);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
	assert_int_equal(store_volume(fixture->store)->generation, 1);
	trust_close(attacker);
}

static void a_newer_record_of_this_host_counts_and_is_pinned(void **state)
{
	struct volume_fixture *fixture = *state;
	struct volume_pin pin;

	volume_fixture_forge(fixture, ".snapcrypt/volume/1", ".snapcrypt/volume/2",
			     "\"generation\":1,", "\"generation\":2,", fixture->trust);
	volume_fixture_forge(fixture, ".snapcrypt/volume/2", ".snapcrypt/volume/2",
			     "\"delete_sealed\":\"command\"", "\"delete_sealed\":\"mount\"",
			     fixture->trust);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
	assert_int_equal(store_volume(fixture->store)->delete_sealed, DELETE_SEALED_MOUNT);
	assert_int_equal(trust_volume_pin(fixture->trust, &fixture->record.volume, &pin), 0);
	assert_int_equal(pin.generation, 2);
	volume_pin_free(&pin);
	volume_fixture_close(fixture);

	/* Then going back to the first is noticed. */
	assert_int_equal(unlinkat(fixture->backing_fd, ".snapcrypt/volume/2", 0), 0);
	expect_refused(fixture, -EUCLEAN, EXIT_ORIGIN, "generation");
}

static void a_newer_format_of_a_trusted_writer_is_refused(void **state)
{
	struct volume_fixture *fixture = *state;

	volume_fixture_forge(fixture, ".snapcrypt/volume/1", ".snapcrypt/volume/2", "\"format\":1,",
			     "\"format\":2,", fixture->trust);
	expect_refused(fixture, -ENOTSUP, EXIT_NEWER, "newer");
}

static void another_host_may_read_and_must_trust_to_write(void **state)
{
	struct volume_fixture *fixture = *state;
	char fingerprint[WRITER_FINGERPRINT_SIZE];
	struct trust *stranger = volume_fixture_host(fixture, "stranger", NULL);
	struct trust *friend;

	assert_int_equal(volume_fixture_open(fixture, STORE_READ, stranger), 0);
	assert_true(volume_fixture_has_report(fixture, "origin not verified"));
	volume_fixture_close(fixture);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, stranger), -EACCES);
	assert_int_equal(fixture->error.exit_code, EXIT_ORIGIN);
	assert_non_null(strstr(fixture->error.text, "writer:"));
	trust_close(stranger);

	assert_int_equal(trust_own_fingerprint(fixture->trust, fingerprint), 0);
	friend = volume_fixture_host(fixture, "friend", fingerprint);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, friend), 0);
	assert_int_equal(fixture->report_count, 0);
	volume_fixture_close(fixture);
	trust_close(friend);
}

static void what_the_configuration_expects_is_checked(void **state)
{
	struct volume_fixture *fixture = *state;
	struct volume_record expected = { .has_encrypted_names = false, .snapshot_depth = 1 };
	struct store_options options = {
		.access = STORE_WRITE,
		.can_block = true,
		.expected = &expected,
		.expected_fields = VOLUME_FIELD_NAMES | VOLUME_FIELD_DEPTH,
	};

	assert_int_equal(volume_fixture_open_with(fixture, &options), -EUCLEAN);
	assert_non_null(strstr(fixture->error.text, "names"));
	assert_non_null(strstr(fixture->error.text, "configuration"));
	expected.has_encrypted_names = true;
	assert_int_equal(volume_fixture_open_with(fixture, &options), 0);
}

static void a_copy_without_attributes_opens(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot;
	struct uuid id;
	char command[512];
	char copy[128];

	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
	snapshot = volume_fixture_snapshot(fixture, "monday");
	id = *snapshot_id(snapshot);
	snapshot_put(snapshot);
	volume_fixture_close(fixture);

	snprintf(copy, sizeof(copy), "%s/copy", fixture->path);
	snprintf(command, sizeof(command), "cp -r --no-preserve=all '%s' '%s'",
		 fixture->backing_path, copy);
	assert_int_equal(system(command), 0);
	close(fixture->backing_fd);
	fixture->backing_fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
	snapshot = volume_fixture_enter(fixture, "monday");
	assert_true(uuid_equal(&id, snapshot_id(snapshot)));
	assert_int_equal(snapshot_may_write(snapshot), 0);
	snapshot_put(snapshot);
}

static void an_unencrypted_volume_needs_no_key(void **state)
{
	struct volume_fixture *fixture = *state;
	struct volume_record settings = volume_fixture_settings(fixture);
	const struct store_init_options options = {
		.trust = fixture->trust,
		.settings = &settings,
		.backing = fixture->backing_path,
	};
	struct snapshot *snapshot;

	settings.is_encrypted = false;
	settings.default_key[0] = settings.default_key_id[0] = '\0';
	volume_fixture_write(fixture, "file", "plain");
	assert_int_equal(
		store_init(fixture->backing_fd, &options, &fixture->record, &fixture->error), 0);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
	snapshot = volume_fixture_snapshot(fixture, "monday");
	assert_false(snapshot_is_encrypted(snapshot));
	assert_int_equal(snapshot_may_write(snapshot), 0);
	snapshot_put(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(init_makes_a_volume_that_opens, set_up_volume,
						tear_down),
		cmocka_unit_test_setup_teardown(init_refuses_a_second_time, set_up_volume,
						tear_down),
		cmocka_unit_test_setup_teardown(init_refuses_files_above_the_depth, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(init_lists_directories_that_were_there_as_plaintext,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_directory_without_volume_is_none, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_second_writer_is_refused_and_readers_are_not,
						set_up_volume, tear_down),
		cmocka_unit_test_setup_teardown(a_planted_volume_record_is_refused_by_field,
						set_up_volume, tear_down),
		cmocka_unit_test_setup_teardown(
			a_record_of_an_unknown_writer_never_displaces_a_trusted_one, set_up_volume,
			tear_down),
		cmocka_unit_test_setup_teardown(a_newer_record_of_this_host_counts_and_is_pinned,
						set_up_volume, tear_down),
		cmocka_unit_test_setup_teardown(a_newer_format_of_a_trusted_writer_is_refused,
						set_up_volume, tear_down),
		cmocka_unit_test_setup_teardown(another_host_may_read_and_must_trust_to_write,
						set_up_volume, tear_down),
		cmocka_unit_test_setup_teardown(what_the_configuration_expects_is_checked,
						set_up_volume, tear_down),
		cmocka_unit_test_setup_teardown(a_copy_without_attributes_opens, set_up_volume,
						tear_down),
		cmocka_unit_test_setup_teardown(an_unencrypted_volume_needs_no_key, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
