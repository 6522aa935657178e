/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots: made whole, recognised and listed. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "kms/keyring_file.h"
#include "meta/records/identity.h"
#include "meta/records/seal_record.h"
#include "tests/unit/volume_fixture.h"

static int set_up(void **state)
{
	struct volume_fixture *fixture = volume_fixture_new();

	volume_fixture_init(fixture);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	volume_fixture_free(*state);
	return 0;
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

static void a_snapshot_is_made_whole(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot = volume_fixture_snapshot(fixture, "monday");
	CLEANUP(dek_cleanup) struct dek *name_dek = NULL;
	CLEANUP(dek_cleanup) struct dek *write_dek = NULL;
	char path[128];
	struct stat st;

	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_OPEN);
	assert_int_equal(snapshot_kind(snapshot), SNAPSHOT_PLAIN_DIRECTORY);
	assert_true(snapshot_is_encrypted(snapshot));
	assert_true(snapshot_has_encrypted_names(snapshot));
	assert_int_equal(snapshot_may_write(snapshot), 0);
	assert_int_equal(snapshot_name_dek(snapshot, &name_dek), 0);
	assert_int_equal(snapshot_write_dek(snapshot, &write_dek), 0);
	assert_ptr_equal(name_dek, write_dek);
	volume_fixture_key_path(snapshot, "1", path);
	assert_int_equal(fstatat(fixture->backing_fd, path, &st, 0), 0);
	assert_int_equal(volume_fixture_count(fixture, "monday"), 1);
	assert_int_equal(volume_fixture_count(fixture, ".snapcrypt/tmp"), 0);
	snapshot_put(snapshot);
}

static void making_one_that_is_there_uses_no_key(void **state)
{
	struct volume_fixture *fixture = *state;

	snapshot_put(volume_fixture_snapshot(fixture, "monday"));
	assert_int_equal(snapshot_create(fixture->store, fixture->backing_fd, "monday", "monday",
					 0755),
			 -EEXIST);
	assert_int_equal(volume_fixture_count(fixture, ".snapcrypt/keys"), 1);
	assert_int_equal(snapshot_create(fixture->store, fixture->backing_fd, ".snapcrypt-x",
					 ".snapcrypt-x", 0755),
			 -EPERM);
}

static void mode_group_and_acl_are_those_of_any_directory(void **state)
{
	struct volume_fixture *fixture = *state;
	struct stat plain;
	struct stat made;
	const mode_t mask = umask(027);
	char acl[256];
	char made_acl[256];
	ssize_t size;
	int fd;
	int made_fd;

	assert_int_equal(fchown(fixture->backing_fd, (uid_t)-1, getegid()), 0);
	assert_int_equal(fchmod(fixture->backing_fd, 02775), 0);
	assert_int_equal(mkdirat(fixture->backing_fd, "plain", 0777), 0);
	snapshot_put(volume_fixture_snapshot(fixture, "made"));
	umask(mask);
	assert_int_equal(fstatat(fixture->backing_fd, "plain", &plain, 0), 0);
	assert_int_equal(fstatat(fixture->backing_fd, "made", &made, 0), 0);
	/* The fixture asks for 0755, mkdir above for 0777; both under 027. */
	assert_int_equal(plain.st_mode & 07777, 02750);
	assert_int_equal(made.st_mode & 07777, 02750);
	assert_int_equal(made.st_gid, plain.st_gid);

	/* user::rwx user:12345:r-x group::r-x mask::r-x other::--- */
	static const unsigned char stored[] = {
		2,    0, 0, 0,                         /* version */
		0x01, 0, 7, 0, 0xff, 0xff, 0xff, 0xff, /* user */
		0x02, 0, 5, 0, 0x39, 0x30, 0,    0,    /* user 12345 */
		0x04, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, /* group */
		0x10, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, /* mask */
		0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, /* other */
	};
	if (fsetxattr(fixture->backing_fd, "system.posix_acl_default", stored, sizeof(stored), 0) <
	    0) {
		print_message("skipped: no ACLs here\n");
		return;
	}
	assert_int_equal(mkdirat(fixture->backing_fd, "plain2", 0755), 0);
	snapshot_put(volume_fixture_snapshot(fixture, "made2"));
	fd = openat(fixture->backing_fd, "plain2", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	made_fd = openat(fixture->backing_fd, "made2", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		const char *name = i == 0 ? "system.posix_acl_default" : "system.posix_acl_access";

		size = fgetxattr(fd, name, acl, sizeof(acl));
		assert_true(size > 0);
		assert_int_equal(fgetxattr(made_fd, name, made_acl, sizeof(made_acl)), size);
		assert_memory_equal(acl, made_acl, (size_t)size);
	}
	close(fd);
	close(made_fd);
}

static void the_index_attribute_names_the_key(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot = volume_fixture_snapshot(fixture, "monday");
	char **ids = NULL;
	size_t count = 0;
	char value[KEY_ID_SIZE] = "";
	int fd = openat(fixture->backing_fd, "monday", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(snapshot_key_ids(snapshot, &ids, &count), 0);
	assert_int_equal(count, 1);
	assert_string_equal(ids[0], fixture->record.default_key_id);
	if (fgetxattr(fd, "user.snapcrypt.key_id", value, sizeof(value) - 1) > 0)
		assert_string_equal(value, ids[0]);
	free(ids[0]);
	free(ids);
	close(fd);
	snapshot_put(snapshot);
}

static void what_an_interrupted_mkdir_left_is_removed(void **state)
{
	struct volume_fixture *fixture = *state;

	assert_int_equal(mkdirat(fixture->backing_fd, ".snapcrypt-new-1", 0755), 0);
	volume_fixture_write(fixture, ".snapcrypt-new-1/" IDENTITY_FILE, "half");
	volume_fixture_write(fixture, ".snapcrypt/tmp/half", "half");
	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	assert_int_equal(faccessat(fixture->backing_fd, ".snapcrypt-new-1", F_OK, 0), -1);
	assert_int_equal(volume_fixture_count(fixture, ".snapcrypt/tmp"), 0);
}

/* ---- Recognising ------------------------------------------------------------------------------------------------- */

static void renaming_keeps_the_identity(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot = volume_fixture_snapshot(fixture, "monday");
	struct snapshot *again;

	assert_int_equal(renameat(fixture->backing_fd, "monday", fixture->backing_fd, "tuesday"),
			 0);
	again = volume_fixture_enter(fixture, "tuesday");
	assert_ptr_equal(again, snapshot);
	assert_string_equal(snapshot_name(snapshot), "tuesday");
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_OPEN);
	snapshot_put(again);
	snapshot_put(snapshot);
}

static void copy_directory(const struct volume_fixture *fixture, const char *from, const char *to)
{
	char command[512];

	snprintf(command, sizeof(command), "cp -a '%s/%s' '%s/%s'", fixture->backing_path, from,
		 fixture->backing_path, to);
	assert_int_equal(system(command), 0);
}

static void two_directories_with_one_identity_are_read_only(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *first = volume_fixture_snapshot(fixture, "monday");
	struct snapshot *second;

	copy_directory(fixture, "monday", "copy");
	second = volume_fixture_enter(fixture, "copy");
	assert_int_equal(snapshot_state(first), SNAPSHOT_DUPLICATE);
	assert_int_equal(snapshot_state(second), SNAPSHOT_DUPLICATE);
	assert_int_equal(snapshot_may_write(first), -EROFS);
	assert_int_equal(snapshot_may_write(second), -EROFS);
	snapshot_put(first);
	snapshot_put(second);

	/* A mount that begins later sees it whichever comes first. */
	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	second = volume_fixture_enter(fixture, "copy");
	assert_int_equal(snapshot_state(second), SNAPSHOT_DUPLICATE);
	snapshot_put(second);
	assert_int_equal(unlinkat(fixture->backing_fd, "copy/" IDENTITY_FILE, 0), 0);
	assert_int_equal(unlinkat(fixture->backing_fd, "copy", AT_REMOVEDIR), 0);
	first = volume_fixture_enter(fixture, "monday");
	assert_int_equal(snapshot_state(first), SNAPSHOT_OPEN);
	snapshot_put(first);
}

static void a_directory_without_identity_is_foreign(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot;
	struct dek *dek = NULL;

	assert_int_equal(mkdirat(fixture->backing_fd, "planted", 0755), 0);
	snapshot = volume_fixture_enter(fixture, "planted");
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_FOREIGN);
	assert_int_equal(snapshot_may_write(snapshot), -EACCES);
	assert_int_equal(snapshot_name_dek(snapshot, &dek), -EACCES);
	snapshot_put(snapshot);
}

static void a_symlink_as_identity_is_foreign(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot;

	snapshot_put(volume_fixture_snapshot(fixture, "monday"));
	assert_int_equal(mkdirat(fixture->backing_fd, "planted", 0755), 0);
	assert_int_equal(symlinkat("../monday/" IDENTITY_FILE, fixture->backing_fd,
				   "planted/" IDENTITY_FILE),
			 0);
	snapshot = volume_fixture_enter(fixture, "planted");
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_FOREIGN);
	snapshot_put(snapshot);
}

static void an_identity_that_says_plaintext_is_foreign(void **state)
{
	struct volume_fixture *fixture = *state;
	struct trust *attacker = volume_fixture_host(fixture, "attacker", NULL);
	struct snapshot *snapshot;
	char volume[UUID_TEXT_SIZE];
	char line[512];
	char *text = NULL;

	uuid_format(&fixture->record.volume, volume);
	snprintf(line, sizeof(line),
		 "{\"type\":\"identity\",\"format\":1,\"volume\":\"%s\",\"snapshot\":"
		 "\"11111111-1111-4111-8111-111111111111\",\"kind\":\"snapshot\","
		 "\"created\":\"2026-11-24T00:00:00Z\",\"encryption\":\"off\"}",
		 volume);
	assert_int_equal(trust_sign(attacker, line, &text), 0);
	assert_int_equal(mkdirat(fixture->backing_fd, "planted", 0755), 0);
	volume_fixture_write(fixture, "planted/" IDENTITY_FILE, text);
	free(text);
	snapshot = volume_fixture_enter(fixture, "planted");
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_FOREIGN);
	snapshot_put(snapshot);
	trust_close(attacker);
}

/* An attacker turns an encrypted snapshot into a stream, so that new names would be stored in plain. */
static void an_identity_that_says_stream_is_not_written_to(void **state)
{
	struct volume_fixture *fixture = *state;
	struct trust *attacker = volume_fixture_host(fixture, "attacker", NULL);
	struct snapshot *snapshot;
	char volume[UUID_TEXT_SIZE];
	char line[512];
	char *text = NULL;

	uuid_format(&fixture->record.volume, volume);
	snprintf(line, sizeof(line),
		 "{\"type\":\"identity\",\"format\":1,\"volume\":\"%s\",\"snapshot\":"
		 "\"11111111-1111-4111-8111-111111111111\",\"kind\":\"stream\","
		 "\"created\":\"2026-11-24T00:00:00Z\",\"period_s\":86400}",
		 volume);
	assert_int_equal(trust_sign(attacker, line, &text), 0);
	assert_int_equal(mkdirat(fixture->backing_fd, "planted", 0755), 0);
	volume_fixture_write(fixture, "planted/" IDENTITY_FILE, text);
	free(text);
	snapshot = volume_fixture_enter(fixture, "planted");
	assert_int_equal(snapshot_may_write(snapshot), -EACCES);
	assert_true(volume_fixture_has_report(fixture, "unknown writer"));
	snapshot_put(snapshot);
	trust_close(attacker);
}

static void an_identity_with_anothers_dek_is_foreign(void **state)
{
	struct volume_fixture *fixture = *state;
	struct trust *attacker = volume_fixture_host(fixture, "attacker", NULL);
	struct snapshot *monday = volume_fixture_snapshot(fixture, "monday");
	struct snapshot *tuesday = volume_fixture_snapshot(fixture, "tuesday");
	struct snapshot *snapshot;
	struct dek *dek = NULL;
	char monday_dek[UUID_TEXT_SIZE];
	char tuesday_dek[UUID_TEXT_SIZE];

	uuid_format(snapshot_dek_id(monday), monday_dek);
	uuid_format(snapshot_dek_id(tuesday), tuesday_dek);
	snapshot_put(monday);
	snapshot_put(tuesday);
	volume_fixture_forge(fixture, "tuesday/" IDENTITY_FILE, "tuesday/" IDENTITY_FILE,
			     tuesday_dek, monday_dek, attacker);
	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	snapshot = volume_fixture_enter(fixture, "tuesday");
	assert_int_equal(snapshot_may_write(snapshot), -EBADMSG);
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_FOREIGN);
	assert_int_equal(snapshot_name_dek(snapshot, &dek), -EACCES);
	snapshot_put(snapshot);
	trust_close(attacker);
}

/* ---- Dependencies ------------------------------------------------------------------------------------------------ */

static void a_dependency_shows_the_other_key_too(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *monday = volume_fixture_snapshot(fixture, "monday");
	struct snapshot *tuesday;
	struct kms_config config;
	struct store_options options = { .access = STORE_WRITE, .can_block = true };
	char path[96];
	char uri[160];
	char **ids = NULL;
	size_t count = 0;

	snprintf(path, sizeof(path), "%s/keyring", fixture->path);
	assert_int_equal(keyring_file_add(path, "second", NULL, NULL), 0);
	snprintf(uri, sizeof(uri), "keyring://%s#second", path);
	config = (struct kms_config){ .uri = uri };
	assert_int_equal(kms_add_key(fixture->kms, &config, NULL), 0);
	snapshot_put(monday);
	volume_fixture_close(fixture);
	options.default_key = uri;
	assert_int_equal(volume_fixture_open_with(fixture, &options), 0);
	monday = volume_fixture_enter(fixture, "monday");
	tuesday = volume_fixture_snapshot(fixture, "tuesday");

	assert_int_equal(snapshot_add_dependency(tuesday, snapshot_dek_id(tuesday)), 0);
	assert_int_equal(snapshot_key_ids(tuesday, &ids, &count), 0);
	assert_int_equal(count, 1);
	free(ids[0]);
	free(ids);
	assert_int_equal(snapshot_add_dependency(tuesday, snapshot_dek_id(monday)), 0);
	assert_int_equal(snapshot_add_dependency(tuesday, snapshot_dek_id(monday)), 0);
	assert_int_equal(snapshot_key_ids(tuesday, &ids, &count), 0);
	assert_int_equal(count, 2);
	assert_non_null(strstr(ids[0], "#default"));
	assert_non_null(strstr(ids[1], "#second"));
	free(ids[0]);
	free(ids[1]);
	free(ids);
	snapshot_put(monday);
	snapshot_put(tuesday);
}

/* ---- Ends -------------------------------------------------------------------------------------------------------- */

static void a_snapshot_whose_mount_died_is_incomplete(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot;
	pid_t child;
	int status;

	volume_fixture_close(fixture);
	child = fork();
	if (child == 0) {
		/* Without closing anything: the lock goes with the process. */
		if (volume_fixture_open(fixture, STORE_WRITE, NULL) < 0)
			_exit(1);
		_exit(snapshot_create(fixture->store, fixture->backing_fd, "night", "night", 0755) <
		      0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);

	assert_int_equal(volume_fixture_open(fixture, STORE_READ, NULL), 0);
	snapshot = volume_fixture_enter(fixture, "night");
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_INCOMPLETE);
	snapshot_put(snapshot);
	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	snapshot = volume_fixture_enter(fixture, "night");
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_INCOMPLETE);
	/* The job runs again, and this time its mount ends well. */
	assert_int_equal(snapshot_may_write(snapshot), 0);
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_OPEN);
	snapshot_put(snapshot);
	volume_fixture_reopen(fixture, STORE_READ, NULL);
	snapshot = volume_fixture_enter(fixture, "night");
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_OPEN);
	snapshot_put(snapshot);
	assert_int_equal(volume_fixture_count(fixture, ".snapcrypt/writing"), 0);
}

static int count_snapshot(void *arg, struct snapshot *snapshot, int fd)
{
	unsigned *counts = arg;

	(void)fd;
	counts[snapshot_state(snapshot)]++;
	return 0;
}

static void every_snapshot_is_listed_with_its_state(void **state)
{
	struct volume_fixture *fixture = *state;
	unsigned counts[8] = { 0 };

	snapshot_put(volume_fixture_snapshot(fixture, "a"));
	snapshot_put(volume_fixture_snapshot(fixture, "b"));
	assert_int_equal(mkdirat(fixture->backing_fd, "c", 0755), 0);
	volume_fixture_write(fixture, "file", "not a directory");
	assert_int_equal(symlinkat("a", fixture->backing_fd, "latest"), 0);
	assert_int_equal(snapshot_each(fixture->store, count_snapshot, counts), 0);
	assert_int_equal(counts[SNAPSHOT_OPEN], 2);
	assert_int_equal(counts[SNAPSHOT_FOREIGN], 1);
	assert_int_equal(counts[SNAPSHOT_DUPLICATE], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_snapshot_is_made_whole),
		TEST(making_one_that_is_there_uses_no_key),
		TEST(mode_group_and_acl_are_those_of_any_directory),
		TEST(the_index_attribute_names_the_key),
		TEST(what_an_interrupted_mkdir_left_is_removed),
		TEST(renaming_keeps_the_identity),
		TEST(two_directories_with_one_identity_are_read_only),
		TEST(a_directory_without_identity_is_foreign),
		TEST(a_symlink_as_identity_is_foreign),
		TEST(an_identity_that_says_plaintext_is_foreign),
		TEST(an_identity_that_says_stream_is_not_written_to),
		TEST(an_identity_with_anothers_dek_is_foreign),
		TEST(a_dependency_shows_the_other_key_too),
		TEST(a_snapshot_whose_mount_died_is_incomplete),
		TEST(every_snapshot_is_listed_with_its_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
