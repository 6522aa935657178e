/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots and keys: written to only under trusted ones, for a period, and until they are sealed. */
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

#include "kms/crypto/hash.h"
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

/* ---- Trust of data keys ------------------------------------------------------------------------------------------ */

/* The attacker may encrypt with the customer's key: a whole snapshot of their making is well-formed. */
static void a_planted_snapshot_is_readable_and_never_written_to(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot;
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	char fingerprint[WRITER_FINGERPRINT_SIZE];
	struct trust *attacker;

	assert_int_equal(trust_own_fingerprint(fixture->trust, fingerprint), 0);
	attacker = volume_fixture_host(fixture, "attacker", fingerprint);
	volume_fixture_reopen(fixture, STORE_WRITE, attacker);
	snapshot_put(volume_fixture_snapshot(fixture, "planted"));
	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	snapshot = volume_fixture_enter(fixture, "planted");
	assert_int_equal(snapshot_name_dek(snapshot, &dek), 0);
	assert_int_equal(snapshot_may_write(snapshot), -EACCES);
	assert_true(volume_fixture_has_report(fixture, "keys trust"));
	snapshot_put(snapshot);
	trust_close(attacker);
}

static void a_data_key_that_was_pinned_may_be_written_under(void **state)
{
	struct volume_fixture *fixture = *state;
	struct dek_pin pin = { .is_trusted = true, .generation = 1 };
	struct snapshot *snapshot;
	struct key_record record;
	char fingerprint[WRITER_FINGERPRINT_SIZE];
	struct trust *other;

	assert_int_equal(trust_own_fingerprint(fixture->trust, fingerprint), 0);
	other = volume_fixture_host(fixture, "other", fingerprint);
	volume_fixture_reopen(fixture, STORE_WRITE, other);
	snapshot_put(volume_fixture_snapshot(fixture, "theirs"));
	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	snapshot = volume_fixture_enter(fixture, "theirs");
	assert_int_equal(store_key_record(fixture->store, snapshot_dek_id(snapshot), &record, NULL),
			 0);
	memcpy(pin.commitment, record.commitment, sizeof(pin.commitment));
	pin.snapshot = record.snapshot;
	assert_int_equal(trust_pin_dek(fixture->trust, &record.volume, &record.dek, &pin), 0);
	key_record_free(&record);
	assert_int_equal(snapshot_may_write(snapshot), 0);
	snapshot_put(snapshot);
	trust_close(other);
}

/* Same DEK id, another key: whoever swaps the key record cannot have new data encrypted for them. */
static void another_key_under_a_pinned_id_is_refused(void **state)
{
	struct volume_fixture *fixture = *state;
	struct trust *attacker = volume_fixture_host(fixture, "attacker", NULL);
	struct snapshot *snapshot = volume_fixture_snapshot(fixture, "monday");
	struct key_record record;
	char path[128];
	char text[64];
	struct uuid id = *snapshot_dek_id(snapshot);

	volume_fixture_key_path(snapshot, "1", path);
	snapshot_put(snapshot);
	/* The commitment's first characters, after its name. */
	{
		char *stored = volume_fixture_read(fixture, path);
		char *place = strstr(stored, "\"commitment\":\"");

		assert_non_null(place);
		snprintf(text, sizeof(text), "%.24s", place);
		free(stored);
	}
	volume_fixture_forge(fixture, path, path, text, "\"commitment\":\"AAAAAAAAAA", attacker);
	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	assert_int_equal(store_key_record(fixture->store, &id, &record, NULL), -EBADMSG);
	trust_close(attacker);
}

static void an_older_key_record_than_seen_is_tampering(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot = volume_fixture_snapshot(fixture, "monday");
	struct key_record record;
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct dek *again = NULL;
	char path[128];

	assert_int_equal(snapshot_name_dek(snapshot, &dek), 0);
	assert_int_equal(store_key_record(fixture->store, snapshot_dek_id(snapshot), &record, NULL),
			 0);
	assert_int_equal(record.generation, 1);
	assert_int_equal(store_publish_key_record(fixture->store, &record, dek), 0);
	assert_int_equal(record.generation, 2);
	key_record_free(&record);
	volume_fixture_key_path(snapshot, "2", path);
	snapshot_put(snapshot);
	volume_fixture_reopen(fixture, STORE_READ, NULL);
	snapshot = volume_fixture_enter(fixture, "monday");
	assert_int_equal(store_dek(fixture->store, snapshot_dek_id(snapshot), &again), 0);
	dek_put(again);
	snapshot_put(snapshot);

	assert_int_equal(unlinkat(fixture->backing_fd, path, 0), 0);
	volume_fixture_reopen(fixture, STORE_READ, NULL);
	snapshot = volume_fixture_enter(fixture, "monday");
	assert_int_equal(store_dek(fixture->store, snapshot_dek_id(snapshot), &again), -EBADMSG);
	assert_true(volume_fixture_has_report(fixture, "generation 1 is below 2"));
	snapshot_put(snapshot);
}

static void a_torn_key_record_is_ignored(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot = volume_fixture_snapshot(fixture, "monday");
	struct key_record record;
	char path[128];
	char torn[128];
	char *text;

	volume_fixture_key_path(snapshot, "1", path);
	volume_fixture_key_path(snapshot, "2", torn);
	text = volume_fixture_read(fixture, path);
	text[strlen(text) / 2] = '\0';
	volume_fixture_write(fixture, torn, text);
	free(text);
	assert_int_equal(store_key_record(fixture->store, snapshot_dek_id(snapshot), &record, NULL),
			 0);
	assert_int_equal(record.generation, 1);
	assert_true(volume_fixture_has_report(fixture, "ignored"));
	key_record_free(&record);
	snapshot_put(snapshot);
}

static void a_rewrap_of_an_untrusted_data_key_is_refused(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot;
	struct key_record record;
	struct dek *dek = NULL;
	char fingerprint[WRITER_FINGERPRINT_SIZE];
	struct trust *attacker;

	assert_int_equal(trust_own_fingerprint(fixture->trust, fingerprint), 0);
	attacker = volume_fixture_host(fixture, "attacker", fingerprint);
	volume_fixture_reopen(fixture, STORE_WRITE, attacker);
	snapshot_put(volume_fixture_snapshot(fixture, "planted"));
	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	snapshot = volume_fixture_enter(fixture, "planted");
	assert_int_equal(store_key_record(fixture->store, snapshot_dek_id(snapshot), &record, NULL),
			 0);
	/* Past the ring, as a command may. */
	assert_int_equal(kms_unwrap_dek(fixture->kms, &record, &dek, NULL, NULL), 0);
	assert_int_equal(store_publish_key_record(fixture->store, &record, dek), -EACCES);
	dek_put(dek);
	key_record_free(&record);
	snapshot_put(snapshot);
	trust_close(attacker);
}

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

static void the_root_gets_its_data_key_at_first_use(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *root = snapshot_root(fixture->store);
	CLEANUP(dek_cleanup) struct dek *first = NULL;
	CLEANUP(dek_cleanup) struct dek *second = NULL;
	CLEANUP(dek_cleanup) struct dek *third = NULL;
	struct dek *none = NULL;

	assert_int_equal(snapshot_kind(root), SNAPSHOT_ROOT);
	assert_false(snapshot_has_encrypted_names(root));
	assert_int_equal(volume_fixture_count(fixture, ".snapcrypt/keys"), 0);
	assert_int_equal(snapshot_may_write(root), 0);
	assert_int_equal(snapshot_name_dek(root, &none), -ENODATA);
	assert_int_equal(snapshot_write_dek(root, &first), 0);
	assert_int_equal(snapshot_write_dek(root, &second), 0);
	assert_ptr_equal(first, second);
	assert_int_equal(volume_fixture_count(fixture, ".snapcrypt/keys"), 1);
	snapshot_put(root);

	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	root = snapshot_root(fixture->store);
	assert_int_equal(snapshot_write_dek(root, &third), 0);
	assert_true(uuid_equal(dek_id(first), dek_id(third)));
	snapshot_put(root);
}

static void a_stream_draws_a_new_key_when_its_period_is_over(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *stream;
	CLEANUP(dek_cleanup) struct dek *first = NULL;
	CLEANUP(dek_cleanup) struct dek *second = NULL;
	char **ids = NULL;
	size_t count = 0;

	assert_int_equal(snapshot_create_stream(fixture->store, fixture->backing_fd, "wal", "wal",
						0755, 1),
			 0);
	stream = volume_fixture_enter(fixture, "wal");
	assert_int_equal(snapshot_kind(stream), SNAPSHOT_STREAM);
	assert_int_equal(snapshot_write_dek(stream, &first), 0);
	sleep(2);
	assert_int_equal(snapshot_write_dek(stream, &second), 0);
	assert_false(uuid_equal(dek_id(first), dek_id(second)));
	assert_int_equal(snapshot_key_ids(stream, &ids, &count), 0);
	assert_int_equal(count, 1);
	free(ids[0]);
	free(ids);
	snapshot_put(stream);
}

static void a_host_that_forgot_finds_its_streams_key_again(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *root = snapshot_root(fixture->store);
	CLEANUP(dek_cleanup) struct dek *first = NULL;
	CLEANUP(dek_cleanup) struct dek *second = NULL;
	char command[256];

	assert_int_equal(snapshot_write_dek(root, &first), 0);
	snapshot_put(root);
	volume_fixture_close(fixture);
	snprintf(command, sizeof(command), "rm -r '%s'/host/volumes/*/streams", fixture->path);
	assert_int_equal(system(command), 0);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), 0);
	root = snapshot_root(fixture->store);
	assert_int_equal(snapshot_write_dek(root, &second), 0);
	assert_true(uuid_equal(dek_id(first), dek_id(second)));
	snapshot_put(root);
}

/* ---- Seals ------------------------------------------------------------------------------------------------------- */

static void root_of(const struct volume_fixture *fixture, uint64_t sequence, uint8_t *root)
{
	char name[64];

	snprintf(name, sizeof(name), ".snapcrypt/seals/%u", (unsigned)sequence);
	char *text = volume_fixture_read(fixture, name);

	assert_int_equal(sha256(bytes_from_text(text), root), 0);
	free(text);
}

/* As the seal command does: record SEQUENCE names the snapshot and its DEK. */
static void seal(struct volume_fixture *fixture, struct snapshot *snapshot, uint64_t sequence,
		 struct trust *trust)
{
	CLEANUP(dek_cleanup) struct dek *dek = NULL;
	struct uuid id = *snapshot_dek_id(snapshot);
	struct seal_record record = {
		.sequence = sequence,
		.volume = fixture->record.volume,
		.snapshot = *snapshot_id(snapshot),
		.name = strdup("monday"),
		.dek = id,
		.dek_count = 1,
		.has_previous = sequence > 1,
	};
	struct bytes part;
	char name[64];
	char *line = NULL;
	char *text = NULL;

	if (record.has_previous)
		root_of(fixture, sequence - 1, record.previous);
	record.deks = calloc(1, sizeof(*record.deks));
	assert_non_null(record.deks);
	record.deks[0] = id;
	assert_int_equal(snapshot_name_dek(snapshot, &dek), 0);
	assert_int_equal(seal_record_encode_mac_input(&record), 0);
	part = bytes_from_text(record.mac_input);
	assert_int_equal(dek_mac(dek, DEK_LABEL_SEAL, &part, 1, record.mac), 0);
	assert_int_equal(seal_record_encode(&record, &line), 0);
	assert_int_equal(trust_sign(trust, line, &text), 0);
	snprintf(name, sizeof(name), ".snapcrypt/seals/%u", (unsigned)sequence);
	volume_fixture_write(fixture, name, text);
	free(line);
	free(text);
	seal_record_free(&record);
}

static void bury(struct volume_fixture *fixture, const struct uuid *snapshot, struct trust *trust)
{
	char reason[] = "test";
	char snapshot_name_text[] = "monday";
	struct tombstone tombstone = {
		.sequence = 2,
		.volume = fixture->record.volume,
		.snapshot = *snapshot,
		.name = snapshot_name_text,
		.reason = reason,
		.seal = 1,
		.has_previous = true,
	};
	char *line = NULL;
	char *text = NULL;

	root_of(fixture, 1, tombstone.previous);
	assert_int_equal(tombstone_encode(&tombstone, &line), 0);
	assert_int_equal(trust_sign(trust, line, &text), 0);
	volume_fixture_write(fixture, ".snapcrypt/seals/2", text);
	free(line);
	free(text);
}

static void a_sealed_snapshot_is_read_only_until_a_trusted_tombstone(void **state)
{
	struct volume_fixture *fixture = *state;
	struct trust *attacker = volume_fixture_host(fixture, "attacker", NULL);
	struct snapshot *snapshot = volume_fixture_snapshot(fixture, "monday");
	const struct uuid id = *snapshot_id(snapshot);
	struct dek *dek = NULL;

	seal(fixture, snapshot, 1, fixture->trust);
	snapshot_put(snapshot);
	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	snapshot = volume_fixture_enter(fixture, "monday");
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_SEALED);
	assert_int_equal(snapshot_may_write(snapshot), -EROFS);
	assert_int_equal(store_dek_for_write(fixture->store, snapshot_dek_id(snapshot), &dek),
			 -EROFS);
	assert_int_equal(snapshot_name_dek(snapshot, &dek), 0);
	dek_put(dek);
	snapshot_put(snapshot);

	bury(fixture, &id, attacker);
	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	assert_true(volume_fixture_has_report(fixture, "tombstone"));
	snapshot = volume_fixture_enter(fixture, "monday");
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_SEALED);
	snapshot_put(snapshot);

	bury(fixture, &id, fixture->trust);
	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	snapshot = volume_fixture_enter(fixture, "monday");
	assert_int_equal(snapshot_state(snapshot), SNAPSHOT_OPEN);
	snapshot_put(snapshot);
	trust_close(attacker);
}

static void a_seal_that_was_removed_is_noticed(void **state)
{
	struct volume_fixture *fixture = *state;
	struct snapshot *snapshot = volume_fixture_snapshot(fixture, "monday");

	seal(fixture, snapshot, 1, fixture->trust);
	seal(fixture, snapshot, 2, fixture->trust);
	snapshot_put(snapshot);
	volume_fixture_reopen(fixture, STORE_WRITE, NULL);
	volume_fixture_close(fixture);
	/* Off the end, and out of the middle. */
	assert_int_equal(renameat(fixture->backing_fd, ".snapcrypt/seals/2", fixture->backing_fd,
				  ".snapcrypt/away"),
			 0);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), -EUCLEAN);
	assert_non_null(strstr(fixture->error.text, "seal record 2"));
	assert_int_equal(renameat(fixture->backing_fd, ".snapcrypt/away", fixture->backing_fd,
				  ".snapcrypt/seals/2"),
			 0);
	assert_int_equal(unlinkat(fixture->backing_fd, ".snapcrypt/seals/1", 0), 0);
	assert_int_equal(volume_fixture_open(fixture, STORE_WRITE, NULL), -EUCLEAN);
	assert_non_null(strstr(fixture->error.text, "seal record 1"));
	assert_int_equal(volume_fixture_open(fixture, STORE_READ, NULL), 0);
	assert_true(volume_fixture_has_report(fixture, "record 1 is missing"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_planted_snapshot_is_readable_and_never_written_to),
		TEST(a_data_key_that_was_pinned_may_be_written_under),
		TEST(another_key_under_a_pinned_id_is_refused),
		TEST(an_older_key_record_than_seen_is_tampering),
		TEST(a_torn_key_record_is_ignored),
		TEST(a_rewrap_of_an_untrusted_data_key_is_refused),
		TEST(the_root_gets_its_data_key_at_first_use),
		TEST(a_stream_draws_a_new_key_when_its_period_is_over),
		TEST(a_host_that_forgot_finds_its_streams_key_again),
		TEST(a_sealed_snapshot_is_read_only_until_a_trusted_tombstone),
		TEST(a_seal_that_was_removed_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
