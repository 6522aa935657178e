/* SPDX-License-Identifier: Apache-2.0 */
/* What a host has written down, and whose signature counts for it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/store/store.h"
#include "kms/crypto/secret.h"
#include "tests/unit/temporary.h"

struct fixture {
	int fd;
	char path[64];
	struct store_error error;
};

static int set_up(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	char link[64];
	ssize_t size;

	assert_non_null(fixture);
	assert_int_equal(secret_init(), 0);
	fixture->fd = temporary_open();
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fixture->fd);
	size = readlink(link, fixture->path, sizeof(fixture->path) - 1);
	assert_true(size > 0);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	temporary_remove(fixture->fd);
	free(fixture);
	return 0;
}

static struct trust *open_host(struct fixture *fixture, const char *name, const char *listed)
{
	char path[96];
	const struct trust_options options = {
		.state_dir = path,
		.trusted_writers = &listed,
		.trusted_writer_count = listed ? 1 : 0,
	};
	struct trust *trust = NULL;

	snprintf(path, sizeof(path), "%s/%s", fixture->path, name);
	if (trust_open(&options, &trust, &fixture->error) < 0)
		fail_msg("%s", fixture->error.text);
	return trust;
}

static enum trust_origin origin_of(struct trust *trust, const char *text)
{
	struct record record;
	enum trust_origin origin;

	assert_int_equal(record_split(bytes_from_text(text), &record), 0);
	assert_int_equal(trust_verify(trust, &record, &origin), 0);
	return origin;
}

static void the_writer_key_is_made_once_and_is_private(void **state)
{
	struct fixture *fixture = *state;
	struct trust *trust = open_host(fixture, "a/b/state", NULL);
	char first[WRITER_FINGERPRINT_SIZE];
	char second[WRITER_FINGERPRINT_SIZE];
	struct stat st;

	/* Nothing is written before something must be. */
	assert_int_equal(fstatat(fixture->fd, "a", &st, 0), -1);
	assert_int_equal(trust_own_fingerprint(trust, first), 0);
	assert_memory_equal(first, "writer:", 7);
	trust_close(trust);
	assert_int_equal(fstatat(fixture->fd, "a/b/state/writer.key", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(fstatat(fixture->fd, "a/b/state", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);

	trust = open_host(fixture, "a/b/state", NULL);
	assert_int_equal(trust_own_fingerprint(trust, second), 0);
	assert_string_equal(first, second);
	trust_close(trust);
	/* The public file can be made again of the private one. */
	assert_int_equal(unlinkat(fixture->fd, "a/b/state/writer.pub", 0), 0);
	trust = open_host(fixture, "a/b/state", NULL);
	assert_int_equal(trust_own_fingerprint(trust, second), 0);
	assert_string_equal(first, second);
	trust_close(trust);
}

static void a_state_directory_that_others_may_write_to_is_refused(void **state)
{
	struct fixture *fixture = *state;
	char path[96];
	const struct trust_options options = { .state_dir = path };
	struct trust *trust = NULL;

	snprintf(path, sizeof(path), "%s/open", fixture->path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(chmod(path, 0777), 0);
	assert_int_equal(trust_open(&options, &trust, &fixture->error), -EPERM);
	assert_int_equal(fixture->error.exit_code, EXIT_USAGE);
}

static void signatures_count_for_this_host_and_listed_writers(void **state)
{
	struct fixture *fixture = *state;
	struct trust *writer = open_host(fixture, "writer", NULL);
	struct trust *stranger = open_host(fixture, "stranger", NULL);
	struct trust *friend;
	char fingerprint[WRITER_FINGERPRINT_SIZE];
	char *text = NULL;

	assert_int_equal(trust_sign(writer, "{\"a\":1}", &text), 0);
	assert_int_equal(trust_own_fingerprint(writer, fingerprint), 0);
	friend = open_host(fixture, "friend", fingerprint + strlen("writer:"));
	assert_int_equal(origin_of(writer, text), TRUST_THIS_HOST);
	assert_int_equal(origin_of(stranger, text), TRUST_UNKNOWN_WRITER);
	assert_int_equal(origin_of(friend, text), TRUST_LISTED_WRITER);
	free(text);
	trust_close(writer);
	trust_close(stranger);
	trust_close(friend);
}

static void a_changed_record_has_no_signature(void **state)
{
	struct fixture *fixture = *state;
	struct trust *trust = open_host(fixture, "host", NULL);
	struct record record;
	enum trust_origin origin;
	char *text = NULL;

	assert_int_equal(trust_sign(trust, "{\"a\":1}", &text), 0);
	text[5] = '2';
	assert_int_equal(record_split(bytes_from_text(text), &record), 0);
	assert_int_equal(trust_verify(trust, &record, &origin), -EBADMSG);
	free(text);
	trust_close(trust);
}

static void a_malformed_fingerprint_is_named(void **state)
{
	struct fixture *fixture = *state;
	const char *listed = "writer:12";
	const struct trust_options options = {
		.state_dir = fixture->path,
		.trusted_writers = &listed,
		.trusted_writer_count = 1,
	};
	struct trust *trust = NULL;

	assert_int_equal(trust_open(&options, &trust, &fixture->error), -EINVAL);
	assert_non_null(strstr(fixture->error.text, "writer:12"));
}

static struct volume_record some_settings(void)
{
	struct volume_record record = {
		.generation = 4,
		.volume = { { 7 } },
		.block_size = 4096,
		.algorithm = 1,
		.snapshot_depth = 1,
		.host = "host",
	};

	return record;
}

static void pins_of_a_volume_survive_and_only_rise(void **state)
{
	struct fixture *fixture = *state;
	struct trust *trust = open_host(fixture, "host", NULL);
	struct volume_record record = some_settings();
	struct volume_pin pin;
	struct uuid found;

	assert_int_equal(trust_volume_pin(trust, &record.volume, &pin), -ENOENT);
	assert_int_equal(trust_pin_volume(trust, &record, "/srv/a"), 0);
	assert_int_equal(trust_see_sequence(trust, &record.volume, 9), 0);
	assert_int_equal(trust_see_sequence(trust, &record.volume, 3), 0);
	record.generation = 2;
	assert_int_equal(trust_pin_volume(trust, &record, "/srv/b"), 0);
	trust_close(trust);

	trust = open_host(fixture, "host", NULL);
	assert_int_equal(trust_volume_pin(trust, &record.volume, &pin), 0);
	assert_int_equal(pin.generation, 4);
	assert_int_equal(pin.record.generation, 2);
	assert_int_equal(pin.sequence, 9);
	assert_int_equal(pin.backing_count, 2);
	volume_pin_free(&pin);
	assert_int_equal(trust_volume_by_backing(trust, "/srv/b", &found), 0);
	assert_true(uuid_equal(&found, &record.volume));
	assert_int_equal(trust_volume_by_backing(trust, "/srv/c", &found), -ENOENT);
	trust_close(trust);
}

static void pins_of_data_keys_keep_their_trust(void **state)
{
	struct fixture *fixture = *state;
	struct trust *trust = open_host(fixture, "host", NULL);
	const struct uuid volume = { { 1 } };
	const struct uuid dek = { { 2 } };
	struct dek_pin pin = {
		.is_trusted = true, .is_made_here = true, .generation = 1, .commitment = { 5 }
	};
	struct dek_pin found;

	assert_int_equal(trust_dek_pin(trust, &volume, &dek, &found), -ENOENT);
	assert_int_equal(trust_pin_dek(trust, &volume, &dek, &pin), 0);
	/* Seeing a higher generation, even with another commitment, does not take the trust away. */
	pin = (struct dek_pin){ .generation = 3, .commitment = { 6 } };
	assert_int_equal(trust_pin_dek(trust, &volume, &dek, &pin), 0);
	pin.generation = 2;
	assert_int_equal(trust_pin_dek(trust, &volume, &dek, &pin), 0);
	assert_int_equal(trust_dek_pin(trust, &volume, &dek, &found), 0);
	assert_true(found.is_trusted && found.is_made_here);
	assert_int_equal(found.generation, 3);
	assert_int_equal(found.commitment[0], 5);
	assert_int_equal(trust_forget_dek(trust, &volume, &dek), 0);
	assert_int_equal(trust_dek_pin(trust, &volume, &dek, &found), -ENOENT);
	trust_close(trust);
}

static void keys_and_their_last_answers_are_remembered(void **state)
{
	struct fixture *fixture = *state;
	struct trust *trust = open_host(fixture, "host", NULL);
	struct kek_list list;
	int64_t since_s = 0;

	assert_int_equal(trust_add_kek(trust, "keyring:///a#1", NULL), 0);
	assert_int_equal(trust_add_kek(trust, "keyring:///a#1", "keyring:x#1"), 0);
	assert_int_equal(trust_see_key_state(trust, "keyring:x#1", KEY_STATE_DISABLED), 0);
	assert_int_equal(trust_see_key_state(trust, "keyring:x#1", KEY_STATE_UNREACHABLE), 0);
	trust_close(trust);
	trust = open_host(fixture, "host", NULL);
	assert_int_equal(trust_key_state(trust, "keyring:x#1", &since_s), KEY_STATE_DISABLED);
	assert_true(since_s > 0);
	assert_int_equal(trust_key_state(trust, "keyring:x#2", NULL), KEY_STATE_UNKNOWN);
	assert_int_equal(trust_see_key_state(trust, "keyring:x#1", KEY_STATE_ENABLED), 0);
	assert_int_equal(trust_key_state(trust, "keyring:x#1", NULL), KEY_STATE_UNKNOWN);
	assert_int_equal(trust_list_keks(trust, &list), 0);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.entries[0].uri, "keyring:///a#1");
	kek_list_free(&list);
	trust_close(trust);
}

/* Several processes write at once: nothing is lost. */
static void processes_do_not_overwrite_each_other(void **state)
{
	struct fixture *fixture = *state;
	struct trust *trust;
	struct kek_list list;

	for (int i = 0; i < 4; i++) {
		if (fork() == 0) {
			char uri[64];

			trust = open_host(fixture, "host", NULL);
			for (int j = 0; j < 5; j++) {
				snprintf(uri, sizeof(uri), "keyring:///p%d#%d", i, j);
				if (trust_add_kek(trust, uri, NULL) < 0)
					_exit(1);
			}
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++) {
		int status;

		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	trust = open_host(fixture, "host", NULL);
	assert_int_equal(trust_list_keks(trust, &list), 0);
	assert_int_equal(list.count, 20);
	kek_list_free(&list);
	trust_close(trust);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_writer_key_is_made_once_and_is_private),
		TEST(a_state_directory_that_others_may_write_to_is_refused),
		TEST(signatures_count_for_this_host_and_listed_writers),
		TEST(a_changed_record_has_no_signature),
		TEST(a_malformed_fingerprint_is_named),
		TEST(pins_of_a_volume_survive_and_only_rise),
		TEST(pins_of_data_keys_keep_their_trust),
		TEST(keys_and_their_last_answers_are_remembered),
		TEST(processes_do_not_overwrite_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
